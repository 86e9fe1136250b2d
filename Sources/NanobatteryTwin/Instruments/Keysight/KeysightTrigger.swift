import Quantities

/// The acquire action of one channel: when it measures, and the buffer of what it measured.
final class KeysightTrigger {
  init() {}

  enum Source: Equatable {
    case automatic, bus, timer
    case external(Int)

    var name: String {
      switch self {
      case .automatic: "AINT"
      case .bus: "BUS"
      case .timer: "TIM"
      case .external(let line): "EXT\(line)"
      }
    }
  }

  /// Readings that the buffer holds.
  static let most = 100_000

  var source = Source.automatic
  var interval = 1e-3
  var delay = 0.0
  var count = 1
  /// `:TRIG:ACQ:TOUT`: a pulse on a line with every reading.
  var pulses = false
  var pulseLine: String?

  private(set) var rows: [KeysightRow] = []
  private(set) var isRunning = false
  private var taken = 0
  /// The instrument's clock at `:INIT`, ns: the timer counts on it.
  private var beganAt: Int64 = 0
  private var freeAt = MonotonicTime(nanoseconds: .min)
  private var pending: [MonotonicTime] = []

  func begin(at now: MonotonicTime, _ clock: any InstrumentClock) {
    rows = []
    taken = 0
    beganAt = clock.device(at: now)
    freeAt = now
    pending = []
    isRunning = true
  }

  func end() { isRunning = false }
  func clear() { rows = [] }
  func keepOnly(_ row: KeysightRow) { rows = [row] }

  /// A pulse on an input line, or `*TRG`.
  func pulse(_ from: Source, at now: MonotonicTime) {
    if isRunning, from == source { pending.append(now) }
  }

  /// The next measurement: when it is triggered and when it is done; nil while it waits.
  private func next(_ aperture: Seconds, _ clock: any InstrumentClock) -> (begin: MonotonicTime, end: MonotonicTime)? {
    guard isRunning, taken < count else { return nil }
    var begin: MonotonicTime
    switch source {
    case .automatic: begin = freeAt
    case .timer: begin = clock.host(at: beganAt + Int64((Double(taken) * interval * 1e9).rounded()))
    case .bus, .external:
      guard let first = pending.first else { return nil }
      begin = first
    }
    begin = max(begin + Seconds(delay), freeAt)
    return (begin, begin + aperture)
  }

  /// Takes all readings that are done by `now`.
  func advance(
    to now: MonotonicTime, aperture: Seconds, _ clock: any InstrumentClock,
    _ measure: (MonotonicTime, MonotonicTime) -> KeysightRow
  ) {
    while let (begin, end) = next(aperture, clock), end <= now {
      rows.append(measure(begin, end))
      if !pending.isEmpty { pending.removeFirst() }
      taken += 1
      freeAt = end
      if taken >= count || rows.count >= Self.most { isRunning = false }
    }
  }
}
