package import Quantities
package import USB

/// Bias source, meter, piezo, contact detection.
extension OpenBiasingHolder {
  package func setOutput(_ isOn: Bool) throws(InstrumentError) { try apply(":OUTP \(isOn ? "ON" : "OFF")") }

  package func drive(gate line: Int, to voltage: Volts) throws(InstrumentError) {
    let channel = HolderChannel(line, HolderChannel.Tap.bias)
    if try !closedChannels().contains(channel) {
      // The contact detection would give its own voltage in place of ours (docs/obh-1.md §4).
      if abilities.contains(.piezo) { try apply(":SENS:CONT OFF") }
      try apply(":SOUR:VOLT:RANG 10", ":SOUR:VOLT:SLEW \(Self.gateSlew)", ":SOUR:VOLT 0", ":OUTP ON")
      try route([channel])
    }
    try apply(":SOUR:VOLT \(voltage.value)")
  }

  /// V/s: slow enough for what a gate's capacitance couples into a cell of some picoamperes.
  private static let gateSlew = 1.0

  package func setMeter(range: Amperes?, aperture: Seconds) throws(InstrumentError) {
    try apply(":SENS:CURR:APER \(aperture.value)")
    if let range { try apply(":SENS:CURR:RANG \(range.value)") }
  }

  /// Operation condition bit 1 (holder.md §4.3).
  package func isMeterSettling() throws(InstrumentError) -> Bool {
    try whole(":STAT:OPER:COND?") & 1 << 1 != 0
  }

  package func meterRecords(atMost count: Int) throws(InstrumentError) -> [MeterRecord] {
    try blocks(":FETC? \(count)", of: MeterRecord.byteCount).compactMap { MeterRecord($0) }
  }

  package func edges() throws(InstrumentError) -> [HolderEdge] {
    try blocks(":SYST:TIME:EDGE?", of: HolderEdge.byteCount).compactMap { HolderEdge($0) }
  }

  private func blocks(_ question: String, of size: Int) throws(InstrumentError) -> [ArraySlice<UInt8>] {
    let bytes = try connection.queryBlock(question)
    guard bytes.count % size == 0 else {
      throw .unexpected(
        device: connection.name, command: question, answer: "\(bytes.count) bytes that are no records of \(size)")
    }
    return stride(from: 0, to: bytes.count, by: size).map { bytes[$0..<$0 + size] }
  }

  package func detectContact(_ settings: ApproachSettings?) throws(InstrumentError) {
    try require(.piezo, "piezo")
    guard let settings else { return try apply(":SENS:CONT OFF") }
    try apply(
      ":SENS:CONT:BIAS \(settings.bias.value)", ":SENS:CONT:THR \(settings.threshold.value)",
      ":SENS:CONT:DWEL \(settings.dwell.value)", ":SENS:CONT:COUN \(settings.count)", ":SENS:CONT:ACT STOP",
      ":SENS:CONT ON")
  }

  package func contact() throws(InstrumentError) -> ContactEvent? {
    let numbers = try numbers(":SENS:CONT:STATUS?", 4)
    guard numbers[0] != 0, numbers[1] >= 0, numbers[1] < 0x1p50, abs(numbers[3]) < 1e9 else { return nil }
    return ContactEvent(time_us: UInt64(numbers[1]), current: Amperes(numbers[2]), steps: Int(numbers[3]))
  }

  package func setWaveform(_ waveform: StepWaveform) throws(InstrumentError) {
    try require(.piezo, "piezo")
    switch waveform {
    case .sawtooth: try apply(":SOUR:PIEZ:COAR:WAV SAW")
    case .cycloid: try apply(":SOUR:PIEZ:COAR:WAV CYCL")
    case .user(let table):
      // Until all of it is there and compared nothing steps with half of it.
      try apply(":SOUR:PIEZ:COAR:WAV SAW")
      for first in stride(from: 0, to: WaveformTable.count, by: Self.pointsPerMessage) {
        let part = table.points[first..<min(first + Self.pointsPerMessage, WaveformTable.count)]
        try apply(":SOUR:PIEZ:COAR:WAV:DATA \(first),\(part.map(String.init).joined(separator: ","))")
      }
      let question = ":SOUR:PIEZ:COAR:WAV:DATA?"
      let kept = try connection.queryBlock(question)
      guard kept == table.points else {
        throw .unexpected(device: connection.name, command: question, answer: "other points than were sent")
      }
      try apply(":SOUR:PIEZ:COAR:WAV USER")
    }
  }

  /// Of three digits and a comma each, in a message of 256 bytes.
  private static let pointsPerMessage = 32

  package func step(_ axis: PiezoAxis, by count: Int, amplitude: Volts, frequency: Hertz) throws(InstrumentError) {
    try require(.piezo, "piezo")
    try apply(
      ":SOUR:PIEZ:COAR:AXIS \(axis.rawValue.uppercased())", ":SOUR:PIEZ:COAR:AMPL \(amplitude.value)",
      ":SOUR:PIEZ:COAR:FREQ \(frequency.value)", ":SOUR:PIEZ:COAR:STEP \(count)")
  }

  package func remainingSteps() throws(InstrumentError) -> Int {
    try whole(":SOUR:PIEZ:COAR:STEP?")
  }

  package func extend(_ axis: PiezoAxis, to voltage: Volts, voltsPerSecond: Double) throws(InstrumentError) {
    try require(.piezo, "piezo")
    var voltages = try fineVoltages()
    voltages[axis.index] = voltage.value
    let text = voltages.map { "\($0)" }.joined(separator: ",")
    try apply(":SOUR:PIEZ:FINE:SLEW \(voltsPerSecond)", ":SOUR:PIEZ:FINE:VOLT \(text)")
  }

  package func fineVoltages() throws(InstrumentError) -> [Double] { try numbers(":SOUR:PIEZ:FINE:VOLT?", 3) }

  package func stopMotion() throws(InstrumentError) {
    try require(.piezo, "piezo")
    try apply(":SOUR:PIEZ:COAR:STOP", ":SOUR:PIEZ:FINE:STOP")
  }
}
