import Linux
import Quantities
import USB

/// Readings that a digital line begins, and pulses that tell of readings: a trigger model of blocks in place of the
/// predefined loop (2450 manual, `:TRIGger:BLOCk`; not tried on hardware).
extension Keithley2450 {
  /// Width of the pulse that tells of a reading.
  private static let pulseWidth = 1e-4  // s

  /// Readings into the instrument's buffer until `:ABOR`, one per edge on the input line or one per sample period, each
  /// followed by a pulse on the output line.
  func beginTriggeredLoop(pause: Double) throws(InstrumentError) {
    var lines: [String] = []
    if let line = triggers.out {
      lines += [
        ":DIG:LINE\(line):MODE TRIG,OUT", ":TRIG:DIG\(line):OUT:LOG POS",
        ":TRIG:DIG\(line):OUT:PULS \(scpiNumber(Self.pulseWidth))", ":TRIG:DIG\(line):OUT:STIM NOT1",
      ]
    }
    if let line = triggers.in {
      lines += [":DIG:LINE\(line):MODE TRIG,IN", ":TRIG:DIG\(line):IN:EDGE RIS", ":TRIG:DIG\(line):IN:CLE"]
    }
    lines += [
      ":TRAC:CLE \"defbuffer1\"", ":TRIG:LOAD \"Empty\"", ":TRIG:BLOC:NOP 1",
      triggers.in.map { ":TRIG:BLOC:WAIT 2, DIG\($0)" } ?? ":TRIG:BLOC:DEL:CONS 2, \(scpiNumber(pause))",
      ":TRIG:BLOC:MEAS 3, \"defbuffer1\"", ":TRIG:BLOC:NOT 4, 1", ":TRIG:BLOC:BRAN:ALW 5, 2", ":INIT",
    ]
    for line in lines { try connection.apply(line) }
  }

  /// Lines 1 to 6, and not one for both (2450 manual, digital I/O).
  static func checkedTriggers(_ settings: PotentiostatSettings) throws(InstrumentError) -> (in: Int?, out: Int?) {
    for line in [settings.triggerIn, settings.triggerOut].compactMap({ $0 }) where !(1...6).contains(line) {
      throw .unable(device: settings.model, reason: "there is no digital line \(line); its lines are 1 to 6")
    }
    if let line = settings.triggerIn, line == settings.triggerOut {
      throw .unable(device: settings.model, reason: "digital line \(line) cannot be trigger input and output at once")
    }
    return (settings.triggerIn, settings.triggerOut)
  }
}
