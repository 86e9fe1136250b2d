import Linux
import Quantities
package import USB

/// Zero correct: the instrument measures what its input reads with nothing connected, and subtracts it from then on.
///
/// `:INP:ZCOR 1` is the fact sheet's (`scpi-smu.md` §6); `:INP:ZCOR:ACQ`, which measures anew, is used by a public program
/// for the B2981A. Which of the two measures, and whether what was found outlives a change of range, neither says: both are
/// sent, and again after every change of range. Not tried on hardware.
extension KeysightB2980 {
  /// Looks so often whether somebody wants the cell safe.
  private static let lookTime = Seconds(0.05)
  /// A cell that is left alone keeps its voltage for so long, or nearly.
  private static let longestUnwatched = Seconds(0.5)

  /// Acquires the zero of the range in use, once it has settled; with the input open, whatever is connected to it.
  /// - Returns: it took so long that the cell's voltage is to be measured anew.
  func correctZero() throws(InstrumentError) -> Bool {
    let range = range
    guard zeroCorrected != range.range, !zeroRead.contains(range.range) else { return false }
    try connectAmmeter()
    let began = MonotonicTime.now
    let settled = ammeterChanged + range.settling
    while .now < settled {
      // 16 s at 2 pA.
      guard !latch.isSet else { throw SafetyLatch.refusal(connection.name) }
      ThreadPulse.beat()
      sleepThread(for: min(Self.lookTime, settled - .now))
    }
    // A current that flows would be taken for zero.
    let input = try connection.queryKeysight(":INP?")
    guard input == "0" else { throw .unexpected(device: connection.name, command: ":INP?", answer: input) }
    try connection.applyKeysight(":INP:ZCOR 0", ":INP:ZCOR 1")
    let acquire = ":INP:ZCOR:ACQ"
    try connection.sendKeysight(acquire)
    let errors = try connection.keysightErrors(
      within: acquisition.aperture * 4 + SCPIConnection.keysightPatience)
    // An undefined header: then switching it on has measured.
    guard errors.allSatisfy({ $0.hasPrefix("-113,") }) else {
      throw .refused(device: connection.name, command: acquire, errors: errors)
    }
    zeroCorrected = range.range
    return MonotonicTime.now - began > Self.longestUnwatched
  }

  /// The zero of the range in use is being read: zero correct would take the input's share of it away twice.
  func forgoZeroCorrect() throws(InstrumentError) {
    zeroRead.insert(range.range)
    if zeroCorrected != nil { try connection.applyKeysight(":INP:ZCOR 0") }
    zeroCorrected = nil
  }

  package func beginZero() throws(InstrumentError) -> Acquired {
    try acquisition.end()
    try forgoZeroCorrect()
    try hold(from: 0)
    try acquisition.begin()
    return Acquired()
  }

  /// V where a hold begins: what the cell has, measured anew if it was left alone for long meanwhile.
  func start(_ present: Volts?) throws(InstrumentError) -> Double {
    let hasWaited = try correctZero()
    if let present, !hasWaited { return present.value }
    return try measuredVoltage()
  }
}
