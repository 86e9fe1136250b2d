import Linux
import Quantities

/// Turns the output of scripts into samples on one time base, and keeps what it tells of the clock.
///
/// The instrument's timer starts anew with every script. A script's zero is put on the time base at the instant at which
/// `r` was written, so that the base goes on between scripts as the host's clock does; what is known of the zero, and all
/// that is claimed, is the bracket of its first package: after `r` was written, before the package had arrived. Later
/// packages bound the clock on one side: they were sent before they arrived.
struct PalmSensReader {
  enum Phase { case starting, ramping, holding }

  let model: PalmSensModel
  /// The zero of the time base.
  let epoch: MonotonicTime
  private(set) var phase = Phase.starting
  /// The next reading is the first after a hole.
  var isAfterHole = false
  var damagedLines = 0
  private var script: PalmSensScript?
  private var startWritten = MonotonicTime(nanoseconds: 0)
  private var base: Int64 = 0
  private var hasBracket = false
  private var isResting = false
  private var lastStamp: Int64 = -1

  /// Techniques (methodscript.md §3).
  private static let sweep = 0x0000
  private static let openCircuit = 0x000B

  init(model: PalmSensModel, epoch: MonotonicTime) {
    self.model = model
    self.epoch = epoch
  }

  mutating func begin(_ script: PalmSensScript, startWritten: MonotonicTime) {
    self.script = script
    self.startWritten = startWritten
    // Never back, however fast the instrument's clock ran.
    base = max((startWritten - epoch).nanoseconds, lastStamp + 1)
    hasBracket = false
    phase = .starting
    isResting = false
  }

  mutating func take(_ output: MethodScriptLink.Output, into acquired: inout Acquired) {
    switch output.line {
    case .measurementBegan(let technique):
      phase = technique == Self.sweep ? .ramping : .holding
      isResting = technique == Self.openCircuit
    case .package(let package): take(package, output.arrival, into: &acquired)
    default: break
    }
  }

  /// The time is taken right after the reading: the reading's aperture ends there. How long it is the instrument does not
  /// tell; the whole period is the most it can be.
  private mutating func take(_ package: MethodScriptPackage, _ arrival: MonotonicTime, into acquired: inout Acquired) {
    guard let script, let time = package["eb"]?.value, time.isFinite, time >= 0, time < 1e6 else { return }
    let stamp = base + Int64((time * 1e9).rounded())
    acquired.clockPairs.append(
      ClockPair(deviceNanoseconds: stamp, earliest: hasBracket ? nil : startWritten, latest: arrival))
    hasBracket = true
    lastStamp = max(lastStamp, stamp)

    let voltage = package["ab"] ?? package["da"]
    let current = package["ba"]
    guard voltage != nil || current != nil else { return }
    let aperture: Seconds
    var flags: SampleFlags = []
    switch phase {
    case .starting:
      aperture = Seconds(PalmSensScript.openCircuitTime)
      flags.insert(.openCircuit)
    case .ramping:
      aperture = script.rampAperture
      flags.insert(.settling)
    case .holding:
      aperture = script.aperture
      if isResting { flags.insert(.openCircuit) }
    }
    if isAfterHole {
      flags.insert(.afterHole)
      isAfterHole = false
    }
    let status = (voltage?.status ?? []).union(current?.status ?? [])
    if status.contains(.timingNotMet) { flags.insert(.timingNotMet) }
    if status.contains(.underload) { flags.insert(.underload) }
    if status.contains(.overloadWarning) { flags.insert(.overloadWarning) }
    // An amplifier at its end reads no value, and what it should hold it no longer holds.
    if status.contains(.overload) {
      flags.formUnion(phase == .holding && !isResting ? [.overflow, .compliance] : .overflow)
    }
    flags.formUnion(.noise(level: max(voltage?.noise ?? 0, current?.noise ?? 0)))
    let range = current?.range.flatMap { index in model.ranges.first { $0.indices.contains(index) } } ?? script.range
    acquired.samples.append(
      Sample(
        deviceNanoseconds: stamp - aperture.nanoseconds / 2, arrival: arrival,
        voltage: value(voltage).map { Volts($0) }, current: value(current).map { Amperes($0) },
        range: range.facts.range, aperture: aperture, flags: flags))
  }

  private func value(_ variable: MethodScriptVariable?) -> Double? {
    guard let variable, variable.value.isFinite, variable.status?.contains(.overload) != true else { return nil }
    return variable.value
  }
}
