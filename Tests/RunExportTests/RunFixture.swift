import Glibc
import Linux
import Quantities
import RunStore
import SQLite

/// A stored run as the daemon would have left it: rest, 2 pA charge with bursts of 400 fps, hold, rest. Two device
/// clocks with offset and drift; the truth is known as functions of the run's time.
struct RunFixture {
  struct Options {
    var seed: UInt64 = 1
    var hasClockPairs = true
    var name = "2 pA formation"
    var outcome = "complete"
    var reason: String?
    var details = ("{}", "{}")
    var steps: [(start: Double, end: Double, label: String?, sentence: String)] = [
      (0, 8, nil, "Rest for 8 s"), (8, 38, "charge", "Charge at 2 pA for 60 s or until 4.2 V"),
      (38, 55, nil, "Hold at 4.2 V for 30 s or until 0.2 pA"), (55, 65, nil, "Rest for 10 s"),
    ]
    /// Start, length, frames per second; frames lost within by their number.
    var series: [(start: Double, length: Double, rate: Double)] = [
      (0.2, 13.6, 10), (14, 2, 400), (16.2, 9.6, 10), (26, 3, 400), (29.3, 8.5, 10), (38, 1.5, 400), (39.7, 25, 10),
    ]
    var lost: Set<Int> = []
    var sampleInterval = 10e-3
    var duration = 65.0
    var notes: [(Double, String)] = [(20.5, "dendrite starts"), (44, "beam shifted by 20 nm <west & up>")]
  }

  let directory: String
  static let bootOffset = 5000.0
  static let unix: Int64 = 1_795_300_000_000_000_000

  /// The run's time (s) → host ns.
  static func raw(_ time: Double) -> Int64 { Int64(((bootOffset + time) * 1e9).rounded()) }
  static func potentiostat(_ time: Double) -> Int64 { Int64(((3.7 + time) * (1 + 35e-6) * 1e9).rounded()) }
  static func camera(_ time: Double) -> Int64 { Int64(((812 + time) * (1 - 20e-6) * 1e9).rounded()) }

  static func current(_ t: Double) -> Double {
    switch t {
    case ..<8: 0
    case ..<38: 2e-12
    case ..<55: 2e-12 * exp(-(t - 38) / 6)
    default: 0
    }
  }

  static func voltage(_ t: Double) -> Double {
    switch t {
    case ..<8: 3.21
    case ..<38: 3.30 + 0.62 * (1 - exp(-(t - 8) / 9)) + 0.0103 * (t - 8) * (t - 8) / 30
    case ..<55: 4.2
    default: 4.08 + 0.12 * exp(-(t - 55) / 3)
    }
  }

  static func charge(_ t: Double) -> Double {
    let first = 2e-12 * min(max(t - 8, 0), 30)
    return first + 2e-12 * 6 * (1 - exp(-min(max(t - 38, 0), 17) / 6))
  }

  private static func nextDirectory() -> String {
    var template = Array("/tmp/insitud-run-XXXXXX".utf8CString)
    return template.withUnsafeMutableBufferPointer { String(cString: mkdtemp($0.baseAddress!)) }
  }

  init(_ options: Options = Options()) throws {
    directory = Self.nextDirectory()
    let database = try Database(directory + "/run.sqlite", .create)
    try database.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF")
    try database.execute(Schema.run)
    var chance = Chance(seed: options.seed)
    try database.execute("BEGIN")
    try database.run(
      "INSERT INTO run VALUES (?1,?2,'nanobattery-A1','','{}',?3,?4,?5,?6,?7,?8,?9,'+ charges','insitud','host')",
      .text("01KAH7Z3X9P4Q8R5T6V7W8X9Y0"), .text(options.name), .text(options.outcome), .optional(options.reason),
      .integer(Self.raw(0)), .integer(Self.unix), .integer(Self.raw(options.duration)),
      .integer(Self.unix + Int64(options.duration * 1e9)), .real(Self.charge(options.duration)))
    for (kind, details) in [("potentiostat", options.details.0), ("camera", options.details.1)] {
      try database.run(
        "INSERT INTO device (kind, model, identity, connection, details_json) VALUES (?1,'m','i','c',?2)", .text(kind),
        .text(details))
    }
    for (index, step) in options.steps.enumerated() {
      try database.run(
        "INSERT INTO step VALUES (?1,0,?2,?3,?4,?5,?6,'time',0)", .integer(Int64(index)), .optional(step.label),
        .text(step.sentence), .integer(Int64(index + 10)), .integer(Self.raw(step.start)), .integer(Self.raw(step.end)))
    }
    if options.hasClockPairs { try Self.writePairs(database, options, &chance) }
    try Self.writeSamples(database, options, &chance)
    try Self.writeFrames(database, options, &chance)
    for (time, text) in options.notes {
      try database.run(
        "INSERT INTO note (raw_ns, unix_ns, text) VALUES (?1,?2,?3)", .integer(Self.raw(time)),
        .integer(Self.unix + Int64(time * 1e9)), .text(text))
    }
    try database.execute("COMMIT")
  }

  private static func writePairs(_ database: Database, _ options: Options, _ chance: inout Chance) throws {
    for time in stride(from: -1, to: options.duration, by: 0.4837) {
      for (device, clock) in [("potentiostat", potentiostat), ("camera", camera)] {
        let there = 60e-6 + chance.exponential(40e-6)
        let back = 60e-6 + chance.exponential(40e-6)
        try database.run(
          "INSERT INTO clock_pair (device, device_time_ns, earliest_raw_ns, latest_raw_ns) VALUES (?1,?2,?3,?4)",
          .text(device), .integer(clock(time + there)), .integer(raw(time)), .integer(raw(time + there + back)))
      }
    }
  }

  private static func writeSamples(_ database: Database, _ options: Options, _ chance: inout Chance) throws {
    var time = 0.005
    while time < options.duration {
      let step = options.steps.lastIndex { $0.start <= time } ?? 0
      let batch = (time / 0.1).rounded(.up) * 0.1 + 0.003
      // A spike where the output is switched on.
      let spike = abs(time - 8.02) < 0.006 ? 55e-12 : 0
      try database.run(
        "INSERT INTO sample VALUES (NULL,?1,?2,?3,?4,1e-10,2000000,?5,?6,?7)", .integer(potentiostat(time)),
        .integer(raw(batch)), .real(voltage(time) + 300e-6 * chance.normal()),
        .real(current(time) + 50e-15 * chance.normal() + spike), .integer(time < 8 || time > 55 ? 8 : 0),
        .integer(Int64(step)), .real(charge(time)))
      time += options.sampleInterval
    }
  }

  private static func writeFrames(_ database: Database, _ options: Options, _ chance: inout Chance) throws {
    var id: Int64 = 0
    var gap: (first: Int, last: Int)?
    for (number, series) in options.series.enumerated() {
      let step = { (time: Double) in options.steps.lastIndex { $0.start <= time } ?? 0 }
      for index in 0..<Int((series.length * series.rate).rounded()) {
        if series.rate > 100 && options.lost.contains(index) {
          gap = (gap?.first ?? index, index)
          continue
        }
        if let found = gap {
          try database.run(
            "INSERT INTO gap (series, first_frame, last_frame, frames, cause) VALUES (?1,?2,?3,?4,'lost at source')",
            .integer(Int64(number)), .integer(Int64(found.first)), .integer(Int64(found.last)),
            .integer(Int64(found.last - found.first + 1)))
          gap = nil
        }
        let start = series.start + Double(index) / series.rate
        let late = 2.4e-3 + 4e-4 + chance.exponential(2e-4)
        try database.run(
          """
          INSERT INTO frame (id, series, frame_number, device_time_ns, exposure_ns, arrival_raw_ns, flags, step, segment,
            offset_bytes, pixel_crc32c) VALUES (?1,?2,?3,?4,2400000,?5,0,?6,0,?7,0)
          """, .integer(id), .integer(Int64(number)),
          .integer(Int64(index)), .integer(camera(start)), .integer(raw(start + late)), .integer(Int64(step(start))),
          .integer(4096 + id * 2_097_152))
        id += 1
      }
    }
  }

  func open(_ access: Database.Access = .readWrite) throws -> Database {
    try Database(directory + "/run.sqlite", access)
  }

  func remove() {
    for name in (try? FileSystem.list(directory)) ?? [] { FileSystem.remove(directory + "/" + name) }
    rmdir(directory)
  }
}

/// Random numbers from a seed (SplitMix64), the same in every run of the tests.
struct Chance: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func uniform() -> Double { Double.random(in: 0..<1, using: &self) }
  mutating func exponential(_ mean: Double) -> Double { -mean * log(1 - uniform()) }
  mutating func normal() -> Double { (-2 * log(1 - uniform())).squareRoot() * cos(2 * .pi * uniform()) }
}
