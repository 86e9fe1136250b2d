/// One reading of the holder's own meter: 32 bytes, little-endian (holder.md §4.3).
package struct HolderRecord: Equatable, Sendable {
  /// Centre of the aperture on the holder's clock, µs.
  package var time_us: UInt64
  package var sequence: UInt32
  package var current_A: Float
  package var voltage_V: Float
  package var heater_Ohm: Float
  package var status: UInt16
  package var rangeIndex: UInt8
  package var routeProfile: UInt8
  package var edgeCount: UInt32

  package init(
    time_us: UInt64, sequence: UInt32, current_A: Float, voltage_V: Float, heater_Ohm: Float, status: UInt16,
    rangeIndex: UInt8, routeProfile: UInt8, edgeCount: UInt32
  ) {
    self.time_us = time_us
    self.sequence = sequence
    self.current_A = current_A
    self.voltage_V = voltage_V
    self.heater_Ohm = heater_Ohm
    self.status = status
    self.rangeIndex = rangeIndex
    self.routeProfile = routeProfile
    self.edgeCount = edgeCount
  }

  var bytes: [UInt8] {
    littleEndian(time_us) + littleEndian(sequence) + littleEndian(current_A.bitPattern)
      + littleEndian(voltage_V.bitPattern) + littleEndian(heater_Ohm.bitPattern) + littleEndian(status)
      + [rangeIndex, routeProfile] + littleEndian(edgeCount)
  }
}

/// One edge at a trigger input: 16 bytes, little-endian (holder.md §4.3).
package struct HolderEdge: Equatable, Sendable {
  package var time_us: UInt64
  package var input: UInt8
  /// 1 rising, 0 falling.
  package var slope: UInt8
  package var count: UInt32

  var bytes: [UInt8] { littleEndian(time_us) + [input, slope, 0, 0] + littleEndian(count) }
}

private func littleEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
  (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
}

/// A queue that keeps its oldest entries when it is full.
struct HolderFIFO<Element> {
  static var limit: Int { 512 }
  private(set) var elements: [Element] = []

  /// False when the queue was full.
  mutating func append(_ element: Element) -> Bool {
    guard elements.count < Self.limit else { return false }
    elements.append(element)
    return true
  }

  mutating func take(_ count: Int) -> [Element] {
    defer { elements.removeFirst(min(count, elements.count)) }
    return Array(elements.prefix(count))
  }
}
