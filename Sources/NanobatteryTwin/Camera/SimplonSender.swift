internal import FrameRing
internal import Linux
internal import Quantities
package import ZeroMQ

/// The twin's camera as a DECTRIS detector: it reads the camera's ring and sends what is there as SIMPLON messages over
/// ZeroMQ PUSH (camera-streams.md §1, §2).
///
/// Commanded (`SimplonPort`) it is armed, triggered and stopped by a client over HTTP. By itself it sends one series after
/// the other, each as soon as somebody receives, as a detector does that belongs to another program.
package final class SimplonSender: Sendable {
  package struct Settings: Sendable {
    package var wire = SimplonWire(.cbor)
    /// Where it binds; port 0 or `*` is chosen by the system.
    package var address = "tcp://127.0.0.1:31001"
    package var isCommanded = false
    /// By itself: images of a series, and how many series; nil: without end.
    package var images: UInt64 = 1000
    package var series: UInt64?
    package var period_ns: Int64 = 10_000_000
    package var exposure_ns: Int64 = 9_600_000
    package var faults = CameraFaults()
    /// Told of each frame that the camera gave, with the pixels of the first channel as they are to be received: series,
    /// number, little-endian bytes.
    package var witness: (@Sendable (UInt64, UInt64, [UInt8]) -> Void)?

    package init() {}
  }

  /// What has become of the frames that the camera gave.
  package struct Counts: Equatable, Sendable {
    package var sent: UInt64 = 0
    /// Sent damaged, not among `sent`.
    package var damaged: UInt64 = 0
    /// Not sent: nobody took them, the sender was away, or the series was to be joined later.
    package var dropped: UInt64 = 0
    package var seriesEnded: UInt64 = 0
  }

  enum Phase: Equatable { case idle, armed, running }

  struct State {
    var phase = Phase.idle
    /// Of the series armed last.
    var series: SimplonWire.Series
    var isStartDue = false
    var isTriggered = false
    /// Set by disarm.
    var isEndDue = false
    var isClosing = false
    var counts = Counts()
  }

  /// Messages that wait for a receiver, as in a detector with little memory.
  private static let mostWaiting: Int32 = 64
  /// A frame that nobody takes for so long is dropped.
  private static let patience = Seconds(2)
  private static let look = Seconds(0.02)
  private static let betweenSeries = Seconds(0.02)
  /// A port that was let go of is free again after a moment.
  private static let bindPatience = Seconds(5)

  package let settings: Settings
  /// Where it is bound.
  package let address: String
  let camera: TwinCamera
  let state: Monitor<State>
  private let report: @Sendable (String) -> Void
  private let thread = Monitor<NamedThread?>(nil)

  package init(
    _ settings: Settings, camera: TwinCamera, report: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(ZeroMQError) {
    self.settings = settings
    self.camera = camera
    self.report = report
    state = Monitor(
      State(
        series: SimplonWire.Series(
          number: 0, images: settings.images, period_ns: settings.period_ns, exposure_ns: settings.exposure_ns,
          width: camera.settings.width, height: camera.settings.height)))
    let context = ZeroMQContext()
    let socket = try Self.bind(context, settings.address)
    address = socket.lastEndpoint
    let work = Work(context, socket)
    thread.update { $0 = NamedThread("twin-simplon") { [self] in run(work) } }
  }

  package var counts: Counts { state.read { $0.counts } }
  /// A series is being sent: somebody receives.
  package var isSending: Bool { state.read { $0.phase == .running } }

  package func close() {
    state.update { $0.isClosing = true }
    thread.update { running in
      running?.join()
      running = nil
    }
  }

  private static func bind(_ context: ZeroMQContext, _ address: String) throws(ZeroMQError) -> ZeroMQSocket {
    let socket = try ZeroMQSocket(context, .push)
    socket.setHighWaterMark(send: mostWaiting, receive: 1)
    // What was sent is still delivered when the sender ends or goes away.
    socket.setLinger(milliseconds: 500)
    try socket.bind(address)
    return socket
  }

  // MARK: The thread

  /// What the thread alone has.
  private final class Work: @unchecked Sendable {
    let context: ZeroMQContext
    var socket: ZeroMQSocket?
    /// Of the camera's ring: the next to be looked at.
    var cursor: UInt64 = 0
    var held: [[UInt8]]?
    var first: Int64?
    var isFirstSeries = true
    var noise = SeededRandom(seed: 7, stream: 9)

    init(_ context: ZeroMQContext, _ socket: ZeroMQSocket) {
      self.context = context
      self.socket = socket
    }
  }

  private func run(_ work: Work) {
    // What was left from before is nobody's, nor is what still comes of it.
    _ = try? camera.stop()
    _ = camera.state.wait(atMost: Self.patience) { $0.request == nil ? true : nil }
    work.cursor = camera.ring.published
    if work.cursor > 0 { camera.ring.release(through: work.cursor - 1) }
    while !state.read({ $0.isClosing }) {
      switch state.read({ $0.phase }) {
      case .idle: armByItself(work)
      case .armed: begin(work)
      case .running: pump(work)
      }
    }
    _ = try? camera.stop()
    work.socket = nil
  }

  private func armByItself(_ work: Work) {
    let sent = state.read { $0.series.number }
    guard !settings.isCommanded, settings.series.map({ sent < $0 }) ?? true else {
      _ = state.wait(atMost: Self.look) { $0.phase != .idle || $0.isClosing ? true : nil }
      return
    }
    sleepThread(for: Self.betweenSeries)
    state.update {
      $0.series.number += 1
      $0.phase = .armed
      $0.isStartDue = true
      $0.isTriggered = true
      $0.isEndDue = false
    }
  }

  private func begin(_ work: Work) {
    let now = state.update { state in
      defer { state.isStartDue = false }
      return state
    }
    if now.isStartDue, !(work.isFirstSeries && settings.faults.joinAt != nil) {
      // By itself it waits for a receiver; a client that arms it has one.
      guard send(settings.wire.start(now.series), work, within: settings.isCommanded ? Self.patience : nil) else {
        return
      }
    }
    if now.isTriggered {
      work.first = nil
      work.held = nil
      do throws(TwinCameraError) {
        try camera.start(
          TwinCamera.Request(
            series: now.series.number, period_ns: now.series.period_ns, exposure_ns: now.series.exposure_ns,
            exposures: now.series.images))
        state.update { $0.phase = .running }
      } catch {
        report("simplon: \(error)")
        finish(work)
      }
    } else if now.isEndDue {
      finish(work)
    } else {
      _ = state.wait(atMost: Self.look) { $0.isTriggered || $0.isEndDue || $0.isClosing ? true : nil }
    }
  }

  private func finish(_ work: Work) {
    if let held = work.held { deliver(held, work) }
    work.held = nil
    _ = send(settings.wire.end(state.read { $0.series.number }), work, within: Self.patience)
    work.isFirstSeries = false
    state.update {
      $0.phase = .idle
      $0.counts.seriesEnded += 1
    }
  }

  /// Takes what is in the camera's ring.
  private func pump(_ work: Work) {
    guard camera.ring.waitForPublished(beyond: work.cursor, atMost: Self.look) else { return }
    let sequence = work.cursor
    let frame = unsafe camera.ring.read(sequence) { header, bytes in
      (header, header.flags.contains(.seriesEnd) ? [] : unsafe Array(bytes.bindMemory(to: UInt16.self)))
    }
    camera.ring.release(through: sequence)
    work.cursor = sequence + 1
    guard let (header, pixels) = frame, header.series == state.read({ $0.series.number }) else { return }
    if header.flags.contains(.seriesEnd) { return finish(work) }
    take(header, pixels, work)
  }

  private func take(_ header: FrameHeader, _ pixels: [UInt16], _ work: Work) {
    let faults = settings.faults
    let number = header.frameNumber
    // The detector's times begin anew with each series.
    let zero = work.first ?? header.deviceNanoseconds - Int64(number) * state.read { $0.series.period_ns }
    work.first = zero
    settings.witness?(header.series, number, settings.wire.raw(pixels))
    if work.isFirstSeries, let off = faults.absence, number == off.frame { breakOff(off.span, work) }
    if work.isFirstSeries, let join = faults.joinAt, number < join {
      state.update { $0.counts.dropped += 1 }
      return
    }
    var message = settings.wire.image(
      header.series, number, pixels, width: header.width, height: header.height,
      start_ns: header.deviceNanoseconds - zero, exposure_ns: header.exposureNanoseconds)
    if faults.damage?.strikes(number) == true {
      let largest = settings.wire.version == .legacy ? 2 : 0
      message[largest].removeLast(message[largest].count / 2)
      _ = send([noise(work)], work, within: Self.patience)
      let isSent = send(message, work, within: Self.patience)
      state.update { if isSent { $0.counts.damaged += 1 } else { $0.counts.dropped += 1 } }
      return
    }
    if faults.reorder?.strikes(number) == true, work.held == nil {
      work.held = message
      return
    }
    deliver(message, work)
    if let held = work.held {
      work.held = nil
      deliver(held, work)
    }
  }

  private func deliver(_ message: [[UInt8]], _ work: Work) {
    let isSent = send(message, work, within: Self.patience)
    state.update { if isSent { $0.counts.sent += 1 } else { $0.counts.dropped += 1 } }
  }

  private func noise(_ work: Work) -> [UInt8] {
    (0..<100).map { _ in UInt8(truncatingIfNeeded: work.noise.next() >> 32) }
  }

  /// The sender is gone, and comes back at the same place; what was exposed meanwhile is not sent.
  private func breakOff(_ span: Seconds, _ work: Work) {
    report("simplon: gone for \(span)")
    work.socket = nil
    let back = MonotonicTime.now + span
    while MonotonicTime.now < back, !state.read({ $0.isClosing }) {
      guard camera.ring.waitForPublished(beyond: work.cursor, atMost: Self.look) else { continue }
      let isEnd = unsafe camera.ring.read(work.cursor) { header, _ in header.flags.contains(.seriesEnd) } ?? false
      if isEnd { break }
      camera.ring.release(through: work.cursor)
      work.cursor += 1
      state.update { $0.counts.dropped += 1 }
    }
    let limit = MonotonicTime.now + Self.bindPatience
    while work.socket == nil, MonotonicTime.now < limit, !state.read({ $0.isClosing }) {
      work.socket = try? Self.bind(work.context, address)
      if work.socket == nil { sleepThread(for: Self.look) }
    }
    report(work.socket == nil ? "simplon: \(address) is not free any more" : "simplon: back")
  }

  /// - Parameter limit: nil: until somebody receives.
  private func send(_ parts: [[UInt8]], _ work: Work, within limit: Seconds?) -> Bool {
    guard let socket = work.socket else { return false }
    let start = MonotonicTime.now
    while !state.read({ $0.isClosing }) {
      do throws(ZeroMQError) {
        try socket.send(parts, waiting: false)
        return true
      } catch {
        guard error.isTimeout else {
          report("simplon: \(error)")
          return false
        }
      }
      if let limit, MonotonicTime.now - start > limit { return false }
      sleepThread(for: Seconds(0.001))
    }
    return false
  }
}
