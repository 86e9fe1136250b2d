import Alignment
import Quantities
import SQLite

/// Reads the samples of a run in order, a few thousand at a time, onto the host's clock and with their noise.
struct SampleReader {
  private let clock: DeviceClock
  private var last: Int64 = -1
  /// Met so far. A hole counts as another bias: between two biases nothing is known.
  private var holes: Int64 = 0
  private var latest = MonotonicTime(nanoseconds: .min)
  /// The noise last found in a range, for runs of samples too short to tell.
  private var known: [Double: (voltage: Double, current: Double)] = [:]

  init(_ clock: DeviceClock) { self.clock = clock }

  private static let samplesAtOnce = 8192
  /// Noise may change slowly: it is found anew in stretches of at most this many samples.
  private static let stretch = 1024

  private struct Raw {
    var id: Int64
    var device: Int64
    var arrival: MonotonicTime
    var voltage: Double?
    var current: Double?
    var range: Double
    var aperture: Int64
    var flags: Int64
    var step: Int64
    var charge: Double
  }

  /// The next samples; none when there are no more.
  mutating func next(_ database: Database) throws(DatabaseError) -> [AlignedSample] {
    var rows: [Raw] = []
    let query = """
      SELECT id, device_time_ns, arrival_raw_ns, voltage_V, current_A, range_A, aperture_ns, flags, step, charge_C
      FROM sample WHERE id > ?1 ORDER BY id LIMIT \(Self.samplesAtOnce)
      """
    try database.statement(query).forEach([.integer(last)]) { row in
      rows.append(
        Raw(
          id: row.integer(0), device: row.integer(1), arrival: MonotonicTime(nanoseconds: row.integer(2)),
          voltage: row.optionalDouble(3), current: row.optionalDouble(4), range: row.double(5),
          aperture: max(0, row.integer(6)), flags: row.integer(7), step: row.integer(8), charge: row.double(9)))
    }
    last = rows.last?.id ?? last
    var samples: [AlignedSample] = []
    samples.reserveCapacity(rows.count)
    var begin = 0
    while begin < rows.count {
      var end = begin + 1
      while end < rows.count, end - begin < Self.stretch, rows[end].step == rows[begin].step,
        rows[end].range == rows[begin].range, rows[end].aperture == rows[begin].aperture
      {
        end += 1
      }
      let noise = noise(rows, begin..<end)
      for row in rows[begin..<end] { samples.append(place(row, noise)) }
      begin = end
    }
    return samples
  }

  private mutating func place(_ row: Raw, _ noise: (voltage: Double, current: Double)) -> AlignedSample {
    let answer = clock.model?.host(atDevice: row.device + clock.details.offset, arrival: row.arrival)
    let aperture = Seconds(nanoseconds: row.aperture)
    // Where two segments of the clock model meet, samples may change places by less than the bound: keep their order.
    if row.flags & Self.afterHole != 0 { holes += 1 }
    latest = max(latest, answer?.time ?? row.arrival - aperture * 0.5)
    return AlignedSample(
      centre: latest, aperture: aperture, voltage: row.voltage, current: row.current, voltageNoise: noise.voltage,
      currentNoise: noise.current, charge: row.charge, outputOn: row.flags & Self.outputOff == 0,
      halfWidth: answer?.halfWidth ?? Seconds(0), bias: row.step + holes << 32)
  }

  private static let outputOff = Int64(SampleFlags.outputOff.rawValue)
  private static let afterHole = Int64(SampleFlags.afterHole.rawValue)

  /// Noise of a stretch: from itself, else as last found in this range, else from all that was read with it.
  private mutating func noise(_ rows: [Raw], _ range: Range<Int>) -> (voltage: Double, current: Double) {
    let key = rows[range.lowerBound].range
    let voltage = NoiseEstimate.standardDeviation(of: rows[range].compactMap(\.voltage))
    let current = NoiseEstimate.standardDeviation(of: rows[range].compactMap(\.current))
    let before = known[key]
    let found = (
      voltage: voltage ?? before?.voltage ?? Self.roughly(rows.compactMap(\.voltage)),
      current: current ?? before?.current ?? Self.roughly(rows.compactMap { $0.range == key ? $0.current : nil })
    )
    known[key] = found
    return found
  }

  /// Too few readings for an estimate: half of what they span, or a thousandth of a lone one.
  private static func roughly(_ readings: [Double]) -> Double {
    if let found = NoiseEstimate.standardDeviation(of: readings) { return found }
    guard let least = readings.min(), let most = readings.max() else { return 0 }
    return most > least ? (most - least) / 2 : abs(most) * 1e-3
  }
}
