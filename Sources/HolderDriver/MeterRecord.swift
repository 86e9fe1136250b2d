package import Quantities

/// One reading of the holder's own meter: 32 bytes, little-endian (holder.md §4.3).
package struct MeterRecord: Equatable, Sendable {
  package static let byteCount = 32

  package struct Status: OptionSet, Hashable, Sendable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }
    package static let compliance = Status(rawValue: 1 << 0)
    package static let overrange = Status(rawValue: 1 << 1)
    package static let settling = Status(rawValue: 1 << 2)
    package static let moving = Status(rawValue: 1 << 3)
    package static let contact = Status(rawValue: 1 << 4)
    package static let triggered = Status(rawValue: 1 << 5)
    package static let outputOn = Status(rawValue: 1 << 9)
    package static let heater = Status(rawValue: 1 << 10)
  }

  /// Centre of the aperture on the holder's clock, µs.
  package var time_us: UInt64
  package var sequence: UInt32
  package var current: Amperes
  package var voltage: Volts
  package var heaterResistance: Ohms
  package var status: Status
  package var rangeIndex: UInt8
  package var routeProfile: UInt8
  package var edgeCount: UInt32

  /// - Parameter bytes: exactly `byteCount`.
  package init?(_ bytes: ArraySlice<UInt8>) {
    guard bytes.count == Self.byteCount else { return nil }
    var reader = LittleEndianReader(bytes)
    time_us = reader.next()
    sequence = reader.next()
    current = Amperes(Double(Float(bitPattern: reader.next())))
    voltage = Volts(Double(Float(bitPattern: reader.next())))
    heaterResistance = Ohms(Double(Float(bitPattern: reader.next())))
    status = Status(rawValue: reader.next())
    rangeIndex = reader.next()
    routeProfile = reader.next()
    edgeCount = reader.next()
  }
}

/// One edge at a trigger input: 16 bytes, little-endian (holder.md §4.3).
package struct HolderEdge: Hashable, Sendable {
  package static let byteCount = 16

  package var time_us: UInt64
  package var input: UInt8
  package var isRising: Bool
  package var count: UInt32

  /// - Parameter bytes: exactly `byteCount`.
  package init?(_ bytes: ArraySlice<UInt8>) {
    guard bytes.count == Self.byteCount else { return nil }
    var reader = LittleEndianReader(bytes)
    time_us = reader.next()
    input = reader.next()
    isRising = (reader.next() as UInt8) != 0
    _ = reader.next() as UInt16
    count = reader.next()
  }
}

private struct LittleEndianReader {
  private var rest: ArraySlice<UInt8>
  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  mutating func next<Number: FixedWidthInteger>() -> Number {
    let size = Number.bitWidth / 8
    var number: Number = 0
    for (index, byte) in rest.prefix(size).enumerated() { number |= Number(truncatingIfNeeded: byte) << (8 * index) }
    rest = rest.dropFirst(size)
    return number
  }
}
