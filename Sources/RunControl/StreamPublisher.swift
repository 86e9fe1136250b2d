import Alignment
package import ControlProtocol
import FrameRing
package import JSON
import Linux
import Pixels
package import Quantities
import RunStore
import Synchronization
package import ZeroMQ

/// The PUB side of the daemon (design §6). A thread of its own: whoever has something to say puts it in a bounded
/// queue; frames it takes from the ring as an onlooker. A slow subscriber loses messages and sees it in `seq`.
package final class StreamPublisher: Sendable {
  /// What the latest sample said; frames are published with it.
  package struct Latest: Sendable {
    package var voltage: Volts?
    package var current: Amperes?
    package var charge = Coulombs.zero
  }

  private enum Item: Sendable {
    /// With the bound of the instrument's clock model, where there is one.
    case samples(SampleColumns, halfWidth: Seconds?)
    case event(kind: String, message: String, details: [String: JSONValue], at: MonotonicTime)
    case status(JSONValue)
    case reference(FrameHeader, StreamReference, RunCamera)
  }

  /// Messages that may wait for the publishing thread, and per subscriber in libzmq.
  private static let queueLimit = 4096
  private static let highWaterMark: Int32 = 256
  /// Pixels to a side of a preview, at most; previews per second, at most.
  private static let previewSide = 256
  private static let previewInterval = Seconds(0.05)

  private let queue = BoundedQueue<(run: String?, item: Item)>(limit: queueLimit)
  private let latest = Monitor(Latest())
  private let clock = Monitor(HostClockReading.now)
  private let isEnding = Monitor(false)
  private let beatCount = Monitor(UInt64(0))
  private let runID = Monitor<String?>(nil)
  private let clocks = Monitor<[RunCamera: ClockModel]>([:])
  /// Whether somebody follows `ref/`. Atomic: each frame's recorder asks. Relaxed: it orders nothing.
  private let isReferenceWanted = Atomic(false)
  private let rings: [CameraRing]
  private let thread = Monitor<NamedThread?>(nil)

  package init(_ context: ZeroMQContext, endpoint: String, rings: [CameraRing]) throws(ZeroMQError) {
    self.rings = rings
    let socket = try ZeroMQSocket(context, .publishObserving)
    socket.setHighWaterMark(send: Self.highWaterMark, receive: 1000)
    socket.setLinger(milliseconds: 200)
    try socket.bind(endpoint)
    thread.update { $0 = NamedThread("streams") { [self] in work(socket) } }
  }

  package var beats: UInt64 { beatCount.read { $0 } }
  /// Messages that found the queue full.
  package var refused: UInt64 { queue.refused }

  package func setRun(_ id: String?) { runID.update { $0 = id } }
  package func setLatest(_ values: Latest) { latest.update { $0 = values } }
  /// How a camera's clock relates to ours, for the times of frames.
  func set(clock: ClockModel?, of camera: RunCamera) { clocks.update { $0[camera] = clock } }
  package func setHostClock(_ reading: HostClockReading) { clock.update { $0 = reading } }

  package func publish(_ columns: SampleColumns, halfWidth: Seconds?) {
    push(.samples(columns, halfWidth: halfWidth))
  }
  package func publish(status: JSONValue) { push(.status(status)) }
  package func publish(event kind: String, _ message: String, details: [String: JSONValue] = [:]) {
    push(.event(kind: kind, message: message, details: details, at: .now))
  }
  /// - Parameter reference: asked only when somebody follows `ref/`.
  func publish(_ frame: FrameHeader, at reference: @autoclosure () -> StreamReference, of camera: RunCamera) {
    guard isReferenceWanted.load(ordering: .relaxed) else { return }
    push(.reference(frame, reference(), camera))
  }

  /// Sends what waits, then ends.
  package func end() {
    isEnding.update { $0 = true }
    thread.read { $0 }?.join()
  }

  private func push(_ item: Item) { queue.push((runID.read { $0 }, item)) }

  /// Wall time of an instant of the time base, by the latest reading of both.
  package func unixNanoseconds(at time: MonotonicTime) -> Int64 {
    clock.read { $0.unixNanoseconds + (time.nanoseconds - $0.raw.nanoseconds) }
  }

  // MARK: The thread

  private struct Session: ~Copyable {
    let socket: ZeroMQSocket
    var sequences: [String: UInt64] = [:]
    /// Subscriptions as prefixes, with how many subscribers each has.
    var wanted: [String: Int] = [:]
    /// Of each ring.
    var cursors: [Cursor]
    var pixels: AlignedBuffer

    struct Cursor {
      var nextFrame: UInt64
      var lastPreview = MonotonicTime(nanoseconds: 0)
    }

    func wants(_ topic: Topic) -> Bool {
      wanted.keys.contains { $0.isEmpty || $0.hasPrefix(topic.rawValue) || topic.rawValue.hasPrefix($0) }
    }
    mutating func sequence(_ topic: Topic, _ stream: String) -> UInt64 {
      defer { sequences[topic.rawValue + stream, default: 0] += 1 }
      return sequences[topic.rawValue + stream, default: 0]
    }
  }

  private func work(_ socket: ZeroMQSocket) {
    var session = Session(
      socket: socket, cursors: rings.map { Session.Cursor(nextFrame: $0.ring.published) },
      pixels: AlignedBuffer(count: rings.map(\.ring.slotBytes).max() ?? 1))
    while true {
      beatCount.update { $0 += 1 }
      takeSubscriptions(&session)
      let wantsPixels = !rings.isEmpty && (session.wants(.frame) || session.wants(.preview))
      if wantsPixels {
        // The frames of further cameras wait for the next turn.
        _ = rings[0].ring.waitForPublished(beyond: session.cursors[0].nextFrame, atMost: Seconds(0.005))
        for index in rings.indices { publishFrames(index, &session) }
      } else {
        for (index, place) in rings.enumerated() { session.cursors[index].nextFrame = place.ring.published }
      }
      let ending = isEnding.read { $0 }
      if let first = queue.pop(atMost: Seconds(wantsPixels || ending ? 0 : 0.05)) {
        send(first.item, first.run, &session)
        for next in queue.drain() { send(next.item, next.run, &session) }
      }
      if ending { return }
    }
  }

  /// XPUB gives subscriptions as messages: 1 or 0, then the prefix.
  private func takeSubscriptions(_ session: inout Session) {
    while let message = try? session.socket.receive(), let content = message.first, let kind = content.first {
      let prefix = String(decoding: content.dropFirst(), as: UTF8.self)
      if kind == 1 {
        session.wanted[prefix, default: 0] += 1
      } else if let count = session.wanted[prefix] {
        session.wanted[prefix] = count > 1 ? count - 1 : nil
      }
      isReferenceWanted.store(session.wants(.reference), ordering: .relaxed)
    }
  }

  private func send(_ item: Item, _ run: String?, _ session: inout Session) {
    var header: StreamHeader
    var parts: [[UInt8]] = []
    switch item {
    case .samples(let columns, let halfWidth):
      header = self.header(
        .sample, "potentiostat", run, at: MonotonicTime(nanoseconds: columns.monotonicNanosecondsOfFirst ?? 0), &session
      )
      if let halfWidth {
        header.clock = StreamClock(
          source: "potentiostat clock, fitted",
          uncertaintyNanoseconds: Int64((halfWidth.value * 1e9 / 3.0.squareRoot()).rounded()))
      }
      header.parts = columns.parts
      parts = columns.columns
    case .event(let kind, let message, let details, let time):
      header = self.header(.event, "daemon", run, at: time, &session)
      header.members = ["kind": .string(kind), "message": .string(message), "details": .object(details)]
    case .status(let status):
      header = self.header(.status, "daemon", run, at: .now, &session)
      header.members = ["status": status]
    case .reference(let frame, let reference, let camera):
      guard session.wants(.reference) else { return }
      header = self.header(.reference, frame, camera, run, &session)
      header.picture = picture(frame, dtype: frame.pixelType.numpyName, height: frame.height, width: frame.width)
      header.reference = reference
    }
    try? session.socket.send(header.messageHead + parts, waiting: false)
  }

  private func header(
    _ topic: Topic, _ stream: String, _ run: String?, at time: MonotonicTime, _ session: inout Session
  ) -> StreamHeader {
    StreamHeader(
      topic, stream: stream, run: run, sequence: session.sequence(topic, stream),
      unixNanoseconds: unixNanoseconds(at: time), monotonicNanoseconds: time.nanoseconds,
      clock: StreamClock(source: "host, arrival", uncertaintyNanoseconds: nil))
  }

  /// Of a frame: its time is the start of the exposure, by the camera's clock where there is a model of it.
  private func header(
    _ topic: Topic, _ frame: FrameHeader, _ camera: RunCamera, _ run: String?, _ session: inout Session
  ) -> StreamHeader {
    let fitted =
      frame.flags.contains(.noDeviceTime)
      ? nil : clocks.read { $0[camera] }?.host(atDevice: frame.deviceNanoseconds, arrival: frame.arrival)
    let start = fitted?.time ?? frame.arrival - Seconds(nanoseconds: frame.exposureNanoseconds)
    var header = header(topic, camera.name, run, at: start, &session)
    header.members = ["arrival_mono_ns": .integer(frame.arrival.nanoseconds)]
    if let found = frame.statistics {
      header.members["statistics"] = [
        "sum": .integer(Int64(clamping: found.sum)),
        "mean": .number(found.mean(of: max(1, frame.width * frame.height))),
        "minimum": .integer(Int64(found.minimum)), "maximum": .integer(Int64(found.maximum)),
        "saturated": .integer(Int64(clamping: found.saturated)), "change": .optional(found.change.map(Double.init)),
        "regions": .array((0..<found.regionCount).map { .number(Double(found[region: $0])) }),
      ]
    }
    if let fitted {
      header.clock = StreamClock(
        source: "camera clock, fitted",
        uncertaintyNanoseconds: Int64((fitted.halfWidth.value * 1e9 / 3.0.squareRoot()).rounded()))
    }
    return header
  }

  private func picture(_ frame: FrameHeader, dtype: String, height: Int, width: Int) -> StreamPicture {
    let values = latest.read { $0 }
    return StreamPicture(
      dtype: dtype, height: height, width: width, series: frame.series, frame: frame.frameNumber,
      exposureNanoseconds: frame.exposureNanoseconds, step: frame.step == .max ? nil : frame.step,
      voltage_V: values.voltage?.value, current_A: values.current?.value, charge_C: values.charge.value)
  }

  /// Publishes what came since the last turn. Who falls behind by more than half the ring skips to the newest; the
  /// skipped frames are missing in `seq`, as for any slow subscriber.
  private func publishFrames(_ index: Int, _ session: inout Session) {
    let (camera, ring) = (rings[index].camera, rings[index].ring)
    let stream = Topic.frame.rawValue + camera.name
    let published = ring.published
    let next = session.cursors[index].nextFrame
    if published - min(next, published) > UInt64(ring.slotCount / 2) {
      session.sequences[stream, default: 0] += published - 1 - next
      session.cursors[index].nextFrame = published - 1
    }
    while session.cursors[index].nextFrame < published {
      let sequence = session.cursors[index].nextFrame
      session.cursors[index].nextFrame += 1
      guard let frame = unsafe ring.copy(sequence, into: session.pixels.bytes), frame.bytes > 0 else {
        // Overwritten before it could be taken: missing in `seq`, as for any slow subscriber.
        if session.wants(.frame) { session.sequences[stream, default: 0] += 1 }
        continue
      }
      let pixels = unsafe UnsafeRawBufferPointer(start: session.pixels.bytes.baseAddress, count: frame.bytes)
      let run = runID.read { $0 }
      if session.wants(.frame) {
        var header = self.header(.frame, frame, camera, run, &session)
        let picture = picture(frame, dtype: frame.pixelType.numpyName, height: frame.height, width: frame.width)
        header.picture = picture
        header.parts = [picture.part]
        unsafe try? session.socket.send(header.messageHead, tail: pixels, waiting: false)
      }
      if session.wants(.preview), frame.arrival - session.cursors[index].lastPreview >= Self.previewInterval,
        let preview = unsafe PreviewImage(frame, pixels, side: Self.previewSide)
      {
        session.cursors[index].lastPreview = frame.arrival
        var header = self.header(.preview, frame, camera, run, &session)
        let picture = picture(frame, dtype: "|u1", height: preview.height, width: preview.width)
        header.picture = picture
        header.parts = [picture.part]
        header.members["binning"] = .integer(Int64(preview.binning))
        header.members["counts_per_level"] = .number(preview.countsPerLevel)
        try? session.socket.send(header.messageHead + [preview.pixels], waiting: false)
      }
    }
  }
}
