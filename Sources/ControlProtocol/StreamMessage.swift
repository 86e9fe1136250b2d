package import JSON

/// A published message as a subscriber gets it.
package struct StreamMessage: Equatable, Sendable {
  /// "sample/potentiostat".
  package var topic: String
  package var header: JSONValue
  /// The raw parts behind the header.
  package var parts: [[UInt8]]

  /// Reads a message's parts; nil when they are not a message of this kind.
  package init?(_ message: [[UInt8]]) {
    guard message.count >= 2, let header = try? JSONValue(parsing: message[1]), header.object != nil else { return nil }
    topic = String(decoding: message[0], as: UTF8.self)
    self.header = header
    parts = Array(message[2...])
  }

  /// The part called `name` as numbers; nil when there is none, its length does not fit its shape, or its `dtype` is
  /// not known here. What is not finite comes as null.
  package func numbers(_ name: String) -> [JSONValue]? {
    let described = header["parts"]?.array ?? []
    guard let index = described.firstIndex(where: { $0["name"]?.string == name }), index < parts.count,
      let dtype = described[index]["dtype"]?.string, let shape = described[index]["shape"]?.array
    else { return nil }
    let bytes = parts[index]
    guard let count = Self.product(shape), let size = Self.sizes[dtype],
      !count.multipliedReportingOverflow(by: size).overflow, count * size == bytes.count
    else { return nil }
    return (0..<count).map { position in
      var pattern: UInt64 = 0
      for byte in 0..<size { pattern |= UInt64(bytes[position * size + byte]) << (8 * UInt64(byte)) }
      return Self.value(pattern, dtype)
    }
  }

  private static let sizes = [
    "|u1": 1, "|i1": 1, "<u2": 2, "<i2": 2, "<u4": 4, "<i4": 4, "<i8": 8, "<u8": 8, "<f4": 4, "<f8": 8,
  ]

  private static func product(_ shape: [JSONValue]) -> Int? {
    var count = 1
    for length in shape {
      guard let length = length.integer, length >= 0 else { return nil }
      let (next, overflow) = count.multipliedReportingOverflow(by: Int(length))
      if overflow { return nil }
      count = next
    }
    return count
  }

  private static func value(_ pattern: UInt64, _ dtype: String) -> JSONValue {
    switch dtype {
    case "<f8": finite(Double(bitPattern: pattern))
    case "<f4": finite(Double(Float(bitPattern: UInt32(truncatingIfNeeded: pattern))))
    case "|i1": .integer(Int64(Int8(truncatingIfNeeded: pattern)))
    case "<i2": .integer(Int64(Int16(truncatingIfNeeded: pattern)))
    case "<i4": .integer(Int64(Int32(truncatingIfNeeded: pattern)))
    default: .integer(Int64(truncatingIfNeeded: pattern))
    }
  }

  private static func finite(_ value: Double) -> JSONValue { value.isFinite ? .number(value) : .null }
}
