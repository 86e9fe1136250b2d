import Quantities

/// Which series of the stream is being recorded, and when it is over. A value; time is an argument.
///
/// Headers may be missing (a receiver that joined late), ends may be stale or missing, and one series may follow
/// another without an end (camera-streams.md §2, §9).
struct StreamSeries {
  /// After `stop`, silence this long means that nothing is in flight.
  static let silence = Seconds(0.5)
  /// After `stop`, a sender that goes on sending is cut off.
  static let mostDrain = Seconds(2)

  private struct Open {
    /// As the sender says it.
    var number: UInt64
    /// Under which it is recorded; given when it is first recorded, and kept over a pause.
    var recorded: UInt64?
    var isAnnounced = false
    var configuration: SimplonConfiguration?
    var lastFrame: UInt64?
  }

  private(set) var isRecording = false
  /// The sender's number of the series that it was armed for: no other is recorded.
  private var commanded: UInt64?
  /// Whose header came last.
  private var headed: UInt64?
  private var numbers = SeriesNumbers()
  private var open: Open?
  private var ended: UInt64?
  private var stopped: MonotonicTime?
  private var lastMessage = MonotonicTime(nanoseconds: 0)

  /// The connection is gone: nothing is open. Numbers that were used stay used.
  mutating func forget() {
    let numbers = numbers
    self = StreamSeries()
    self.numbers = numbers
  }

  mutating func start() {
    isRecording = true
    stopped = nil
    open?.isAnnounced = false
  }

  /// The sender was armed, and said under which number it will send; that is recorded under another. Nothing of it is
  /// announced: who armed it knows.
  mutating func startCommanded(sent: UInt64, recorded: UInt64, at now: MonotonicTime) {
    isRecording = true
    lastMessage = now
    stopped = nil
    ended = nil
    commanded = sent
    open = Open(number: sent, recorded: recorded, isAnnounced: true)
  }

  mutating func stop(at now: MonotonicTime) {
    guard isRecording, stopped == nil else { return }
    stopped = now
    lastMessage = now
  }

  mutating func noteMessage(at now: MonotonicTime) { lastMessage = now }

  /// How long nothing has come.
  func silence(at now: MonotonicTime) -> Seconds { now - lastMessage }

  /// A series header. Gives what it ends and begins.
  mutating func header(_ number: UInt64) -> [CameraEvent] {
    headed = number
    if let commanded {
      return number == commanded ? [] : [.ignored(cause: "the header of a series that was not asked for")]
    }
    var events = endAnnounced(byItself: false)
    ended = nil
    open = Open(number: number)
    // The next series belongs to nobody once it was asked to stop.
    if stopped != nil { isRecording = false }
    if isRecording { events += announce() }
    return events
  }

  /// What the last header said.
  mutating func configure(_ configuration: SimplonConfiguration) {
    if headed == open?.number { open?.configuration = configuration }
  }

  enum Admission: Equatable {
    /// - Parameter series: the number it is recorded under.
    case record(series: UInt64)
    case ignore
    /// It says that it belongs to a series that has ended.
    case stale
  }

  /// A frame of series `number`: is it recorded? Gives the events that come before it.
  mutating func frame(_ number: UInt64) -> (admission: Admission, events: [CameraEvent]) {
    guard isRecording, commanded ?? number == number else { return (.ignore, []) }
    if let open, open.number == number, open.isAnnounced, let recorded = open.recorded {
      return (.record(series: recorded), [])
    }
    if number == ended { return (.stale, []) }
    var events: [CameraEvent] = []
    if open?.number != number {
      // Joined in the middle, or the header was lost.
      events += endAnnounced(byItself: false)
      if !isRecording { return (.ignore, events) }
      open = Open(number: number)
    }
    events += announce()
    return (.record(series: open?.recorded ?? number), events)
  }

  mutating func noteFrame(number: UInt64) {
    let last = open?.lastFrame ?? 0
    open?.lastFrame = max(last, number)
  }

  /// A series end from the stream.
  mutating func end(_ number: UInt64) -> [CameraEvent] {
    guard open?.number == number else { return [.ignored(cause: "the end of a series that was not open")] }
    let events = endAnnounced(byItself: true)
    open = nil
    ended = number
    if stopped != nil { isRecording = false }
    return events.isEmpty ? [.ignored(cause: "the end of a series that was not recorded")] : events
  }

  /// After `stop`: is it over?
  /// - Parameter isQuiet: no message is waiting.
  mutating func drained(at now: MonotonicTime, isQuiet: Bool) -> CameraEvent? {
    guard let stopped else { return nil }
    let isSilent = isQuiet && now - lastMessage >= Self.silence
    guard !isRecording || isSilent || now - stopped >= Self.mostDrain else { return nil }
    let event = endAnnounced(byItself: false).first
    isRecording = false
    self.stopped = nil
    return event ?? .drained
  }

  private mutating func announce() -> [CameraEvent] {
    guard let number = open?.number, open?.isAnnounced == false else { return [] }
    open?.isAnnounced = true
    if let recorded = open?.recorded { return [.seriesStarted(series: recorded)] }
    let recorded = numbers.take(number)
    open?.recorded = recorded
    let told: [CameraEvent] = recorded == number ? [] : [.renumbered(sent: number, recorded: recorded)]
    return told + [.seriesStarted(series: recorded)]
  }

  /// - Parameter byItself: the stream said that the series is over, so that what the configuration promised is due.
  ///   Otherwise only what has been seen is known to have been triggered.
  private mutating func endAnnounced(byItself: Bool) -> [CameraEvent] {
    guard isRecording, let open, open.isAnnounced else { return [] }
    self.open?.isAnnounced = false
    // A commanded series is armed for more images than anybody wants; whoever ends it, it has not had them.
    let isWhole = byItself && commanded == nil
    if stopped != nil || commanded != nil {
      isRecording = false
      stopped = nil
    }
    let seen = open.lastFrame.map { $0 + 1 }
    let triggered = isWhole ? open.configuration?.expectedFrames ?? seen : seen
    return [.seriesEnded(series: open.recorded ?? open.number, triggered: triggered)]
  }
}
