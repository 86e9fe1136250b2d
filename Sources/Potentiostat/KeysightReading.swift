import Quantities

/// One number of a Keysight instrument: what it measured, or why there is none.
///
/// As text +9.91E+37 is "not a number" and ±9.9E+37 infinity; in binary they are IEEE 754's own (`scpi-smu.md` §5,
/// B2961A SCPI command reference, "Data output format").
enum KeysightNumber: Equatable {
  case value(Double)
  /// Beyond the range.
  case overflow
  /// The function is not measured, or nothing was.
  case missing

  init(_ number: Double) {
    if number.isNaN || abs(number - 9.91e37) < 1e34 {
      self = .missing
    } else if abs(number) > 9e36 {
      self = .overflow
    } else {
      self = .value(number)
    }
  }

  var value: Double? { if case .value(let number) = self { number } else { nil } }
}

/// One row of the instrument's data buffer: the elements VOLT, CURR, TIME, STAT, which come in this order whatever the
/// order in which they were asked for (`scpi-smu.md` §5).
struct KeysightReading: Equatable {
  static let elements = "VOLT,CURR,TIME,STAT"
  static let elementCount = 4

  var voltage: KeysightNumber
  var current: KeysightNumber
  /// When the measurement was triggered, ns of the instrument's timer ("TIMER value automatically saved when each
  /// measurement is triggered", B2900A data sheet): the beginning of the aperture.
  var stamp: Int64
  var status: Int

  /// Nil when time or status are no numbers.
  init?(_ values: ArraySlice<Double>) {
    guard values.count == Self.elementCount else { return nil }
    let first = values.startIndex
    let (time, status) = (values[first + 2], values[first + 3])
    guard (0..<1e9).contains(time), let status = Int(exactly: status) else { return nil }
    voltage = KeysightNumber(values[first])
    current = KeysightNumber(values[first + 1])
    stamp = Int64((time * 1e9).rounded())
    self.status = status
  }

  /// The status word (B2900 SCPI command reference, table 1-2).
  private enum Bit {
    static let compliance = 0b110
    /// Over voltage, over current, high temperature: the output went off by itself.
    static let emergency = 0b11_1000
    static let overflow = 1 << 13
  }

  var flags: SampleFlags {
    var flags: SampleFlags = []
    if status & Bit.compliance != 0 { flags.insert(.compliance) }
    if status & Bit.emergency != 0 || (voltage == .missing && current == .missing) { flags.insert(.outputOff) }
    if status & Bit.overflow != 0 || voltage == .overflow || current == .overflow { flags.insert(.overflow) }
    return flags
  }

  /// Rows of a `REAL,64` answer in `SWAPped` order.
  static func rows(_ bytes: [UInt8]) -> [KeysightReading]? {
    guard bytes.count % (8 * elementCount) == 0 else { return nil }
    let values = stride(from: 0, to: bytes.count, by: 8).map { start in
      Double(bitPattern: (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[start + $1]) << UInt64(8 * $1) })
    }
    var rows: [KeysightReading] = []
    for start in stride(from: 0, to: values.count, by: elementCount) {
      guard let row = KeysightReading(values[start..<start + elementCount]) else { return nil }
      rows.append(row)
    }
    return rows
  }
}
