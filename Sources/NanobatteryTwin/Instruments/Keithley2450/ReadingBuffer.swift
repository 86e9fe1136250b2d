/// One row of a reading buffer.
struct KeithleyReading: Equatable {
  /// Read-back or programmed value of the source.
  var source: Double
  var value: Double
  var sourceFunction: KeithleyFunction
  var function: KeithleyFunction
  /// End of the aperture on the instrument's clock, ns.
  var stamp: Int64
  var status: Int
  var sourceStatus: Int
}

/// A reading buffer of a 2450: a ring of `capacity` places numbered from 1.
struct ReadingBuffer {
  static let capacities = 10...100_000

  private(set) var capacity = 100_000
  var fillsOnce = false
  private var rows: [KeithleyReading] = []
  /// Place of the oldest row while the ring is full, from 0.
  private var oldest = 0
  /// Stamp that REL counts from: the first reading after clearing.
  private(set) var firstStamp: Int64?

  var count: Int { rows.count }
  /// Place of the oldest row, from 1; 0 when empty.
  var start: Int { rows.isEmpty ? 0 : oldest + 1 }
  /// Place of the newest row, from 1; 0 when empty. Smaller than `start` after the ring has wrapped.
  var end: Int { rows.isEmpty ? 0 : (oldest + rows.count - 1) % rows.count + 1 }
  var newest: KeithleyReading? { rows.isEmpty ? nil : rows[end - 1] }

  /// The row at a place from 1.
  subscript(place: Int) -> KeithleyReading { rows[place - 1] }

  mutating func append(_ reading: KeithleyReading) {
    if rows.count < capacity {
      rows.append(reading)
    } else if fillsOnce {
      return
    } else {
      rows[oldest] = reading
      oldest = (oldest + 1) % capacity
    }
    if firstStamp == nil { firstStamp = reading.stamp }
  }

  mutating func clear() {
    rows = []
    oldest = 0
    firstStamp = nil
  }

  /// Changing the size clears the buffer.
  mutating func resize(_ count: Int) {
    capacity = count
    clear()
  }
}
