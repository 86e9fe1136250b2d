import Quantities
package import USB

/// Heater, beam blanker, force and auxiliary inputs.
extension OpenBiasingHolder {
  /// SCPI's number for "none" (SCPI-1999 vol. 1 §7.2.1.5) and above.
  private static let noNumber = 9.9e37

  package func heat(_ setting: HeaterSetting) throws(InstrumentError) {
    try require(.heater, "heater")
    switch setting {
    case .off: try apply(":SOUR:HEAT:MODE OFF")
    case .temperature(let temperature, let ramp):
      try apply(
        ":SOUR:HEAT:RAMP \(ramp)", ":SOUR:HEAT:TEMP \(temperature.value)", ":SOUR:HEAT:MODE TEMP")
    }
  }

  package func heaterReading() throws(InstrumentError) -> HeaterReading? {
    try require(.heater, "heater")
    let numbers = try numbers(":SENS:HEAT?", 4)
    guard numbers.allSatisfy({ abs($0) < Self.noNumber }) else { return nil }
    return HeaterReading(
      resistance: Ohms(numbers[0]), temperature: Kelvins(numbers[1]), current: Amperes(numbers[2]),
      voltage: Volts(numbers[3]))
  }

  package func blank(_ isOn: Bool) throws(InstrumentError) {
    try require(.blank, "output for a beam blanker")
    try apply(":OUTP:BLAN \(isOn ? "ON" : "OFF")")
  }

  package func readings() throws(InstrumentError) -> [HolderReading] {
    var readings: [HolderReading] = []
    if abilities.contains(.heater), let heater = try heaterReading() {
      readings += [
        HolderReading("heater_resistance", heater.resistance.value, "Ohm"),
        HolderReading("heater_temperature", heater.temperature.value, "K"),
        HolderReading("heater_current", heater.current.value, "A"),
        HolderReading("heater_voltage", heater.voltage.value, "V"),
      ]
    }
    if abilities.contains(.force) { readings.append(HolderReading("force", try numbers(":SENS:FORC?", 1)[0], "N")) }
    if abilities.contains(.auxiliary) { readings += try auxiliary() }
    if abilities.contains(.blank) {
      readings.append(HolderReading("beam_blanked", try numbers(":OUTP:BLAN?", 1)[0], "1"))
    }
    if abilities.contains(.piezo) {
      for (axis, voltage) in zip(PiezoAxis.allCases, try fineVoltages()) {
        readings.append(HolderReading("piezo_\(axis.rawValue)", voltage, "V"))
      }
    }
    // Source and meter are recorded while the holder's own output is on; what the meter has not settled for is no value.
    let records = try meterRecords(atMost: 512)
    if let newest = records.last { readings.append(HolderReading("bias_voltage", newest.voltage.value, "V")) }
    let settled = records.filter { $0.status.isDisjoint(with: [.settling, .overrange]) }
    if !settled.isEmpty {
      let mean = settled.reduce(0) { $0 + $1.current.value } / Double(settled.count)
      readings.append(HolderReading("meter_current", mean, "A"))
    }
    return readings.filter { abs($0.value) < Self.noNumber }
  }

  /// `"pressure",2.1E-05,"Pa",…`: name, value, unit of each input.
  private func auxiliary() throws(InstrumentError) -> [HolderReading] {
    let answer = try connection.query(":SENS:AUX?")
    let fields = answer.split(separator: ",", omittingEmptySubsequences: false).map { field in
      String(field.filter { $0 != "\"" && $0 != " " })
    }
    guard !answer.isEmpty else { return [] }
    guard fields.count % 3 == 0, fields.count <= 3 * 16 else {
      throw .unexpected(device: connection.name, command: ":SENS:AUX?", answer: answer)
    }
    var readings: [HolderReading] = []
    for index in stride(from: 0, to: fields.count, by: 3) {
      guard let value = Double(fields[index + 1]) else {
        throw .unexpected(device: connection.name, command: ":SENS:AUX?", answer: answer)
      }
      readings.append(HolderReading(fields[index], value, fields[index + 2]))
    }
    return readings
  }
}
