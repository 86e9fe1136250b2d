/// A batch of samples as the columns of one `sample/` message; 25 to 100 samples make a good one.
package struct SampleColumns: Equatable, Sendable {
  private var times: [Int64] = []
  private var rawTimes: [Int64] = []
  private var voltages: [Double] = []
  private var currents: [Double] = []
  private var charges: [Double] = []
  private var ranges: [Double] = []
  private var flags: [UInt32] = []
  private var steps: [UInt32] = []

  package init() {}

  package var count: Int { times.count }

  /// Adds one sample.
  /// - Parameters:
  ///   - unixNanoseconds: wall time of the centre of the aperture; the first one is the header's `t_ns`.
  ///   - monotonicNanoseconds: the same instant on `CLOCK_MONOTONIC_RAW`.
  ///   - voltage_V, current_A: nil when the instrument gave none; NaN in the column.
  ///   - charge_C: moved since the start of the run.
  package mutating func append(
    unixNanoseconds: Int64, monotonicNanoseconds: Int64, voltage_V: Double?, current_A: Double?, charge_C: Double,
    range_A: Double, flags: UInt32, step: UInt32
  ) {
    times.append(unixNanoseconds)
    rawTimes.append(monotonicNanoseconds)
    voltages.append(voltage_V ?? .nan)
    currents.append(current_A ?? .nan)
    charges.append(charge_C)
    ranges.append(range_A)
    self.flags.append(flags)
    steps.append(step)
  }

  package mutating func removeAll() { self = SampleColumns() }

  package var unixNanosecondsOfFirst: Int64? { times.first }
  package var monotonicNanosecondsOfFirst: Int64? { rawTimes.first }

  /// What the header says of the columns.
  package var parts: [StreamPart] {
    [
      ("t_ns", "<i8", "ns"), ("t_mono_ns", "<i8", "ns"), ("voltage_V", "<f8", "V"), ("current_A", "<f8", "A"),
      ("charge_C", "<f8", "C"), ("range_A", "<f8", "A"), ("flags", "<u4", nil), ("step", "<u4", nil),
    ].map { StreamPart(name: $0.0, dtype: $0.1, shape: [count], unit: $0.2) }
  }

  /// The raw parts, in the order of `parts`.
  package var columns: [[UInt8]] {
    [
      littleEndian(times), littleEndian(rawTimes), littleEndian(voltages.map(\.bitPattern)),
      littleEndian(currents.map(\.bitPattern)), littleEndian(charges.map(\.bitPattern)),
      littleEndian(ranges.map(\.bitPattern)), littleEndian(flags), littleEndian(steps),
    ]
  }
}

private func littleEndian<Number: FixedWidthInteger>(_ numbers: [Number]) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.reserveCapacity(numbers.count * Number.bitWidth / 8)
  for number in numbers {
    for shift in stride(from: 0, to: Number.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: number >> shift))
    }
  }
  return bytes
}
