/// An element of a reading, in the order in which instruments of this maker send them (`scpi-smu.md` §5; charge from
/// memory of the B2980 series' reference).
enum KeysightElement: String, CaseIterable {
  case voltage = "VOLTage"
  case current = "CURRent"
  case charge = "CHARge"
  case resistance = "RESistance"
  case time = "TIME"
  case status = "STATus"
  case source = "SOURce"

  var short: String { rawValue.filter { !$0.isLowercase } }
}

/// One reading. NaN is what was not measured, infinity what was beyond the range.
struct KeysightRow {
  var voltage = Double.nan
  var current = Double.nan
  /// The instrument's clock when the measurement was triggered, ns.
  var stamp: Int64
  var status = 0
  var source = Double.nan

  func value(_ element: KeysightElement, timerZero: Int64) -> Double {
    switch element {
    case .voltage: voltage
    case .current: current
    case .charge: .nan
    case .resistance: .nan
    case .time: Double(stamp - timerZero) * 1e-9
    case .status: Double(status)
    case .source: source
    }
  }
}

/// How readings are sent: `:FORMat` (B2961A SCPI command reference, "Data output format").
struct KeysightFormat {
  enum Data: String { case text = "ASC", single = "REAL,32", double = "REAL,64" }
  var data = Data.text
  var isSwapped = false
  var elements = KeysightElement.allCases.filter { $0 != .charge }

  func bytes(_ rows: [KeysightRow], timerZero: Int64) -> [UInt8] {
    var values = rows.flatMap { row in
      KeysightElement.allCases.filter(elements.contains).map { row.value($0, timerZero: timerZero) }
    }
    // "If no data exists": one not-a-number.
    if values.isEmpty { values = [.nan] }
    switch data {
    case .text: return Array(values.map(Self.text).joined(separator: ",").utf8)
    case .single: return SCPIText.block(values.flatMap { ordered(Float($0).bitPattern) })
    case .double: return SCPIText.block(values.flatMap { ordered($0.bitPattern) })
    }
  }

  private func ordered(_ bits: some FixedWidthInteger) -> [UInt8] {
    let bytes = stride(from: 0, to: bits.bitWidth, by: 8).map { UInt8(truncatingIfNeeded: bits >> $0) }
    return isSwapped ? bytes : bytes.reversed()
  }

  /// NR3 with its sign: `+1.000001E-06`; +9.91E+37 is not a number, ±9.9E+37 infinity.
  static func text(_ value: Double) -> String {
    if value.isNaN { return "+9.910000E+37" }
    if value.isInfinite { return value < 0 ? "-9.900000E+37" : "+9.900000E+37" }
    let text = SCPIText.scientific(value)
    return text.hasPrefix("-") ? text : "+" + text
  }
}
