import Alignment
package import ControlProtocol
package import FrameRing
package import JSON
import Linux
import Pixels
package import Quantities
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
    case reference(FrameHeader, StreamReference)
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
  private let cameraModel = Monitor<ClockModel?>(nil)
  private let ring: FrameRing
  private let thread = Monitor<NamedThread?>(nil)

  package init(_ context: ZeroMQContext, endpoint: String, ring: FrameRing) throws(ZeroMQError) {
    self.ring = ring
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
  /// How the camera's clock relates to ours, for the times of frames.
  func setCameraModel(_ model: ClockModel?) { cameraModel.update { $0 = model } }
  package func setHostClock(_ reading: HostClockReading) { clock.update { $0 = reading } }

  package func publish(_ columns: SampleColumns, halfWidth: Seconds?) {
    push(.samples(columns, halfWidth: halfWidth))
  }
  package func publish(status: JSONValue) { push(.status(status)) }
  package func publish(event kind: String, _ message: String, details: [String: JSONValue] = [:]) {
    push(.event(kind: kind, message: message, details: details, at: .now))
  }
  package func publish(_ frame: FrameHeader, at reference: StreamReference) { push(.reference(frame, reference)) }

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
    var nextFrame: UInt64 = 0
    var lastPreview = MonotonicTime(nanoseconds: 0)
    var pixels: AlignedBuffer

    func wants(_ topic: Topic) -> Bool {
      wanted.keys.contains { $0.isEmpty || $0.hasPrefix(topic.rawValue) || topic.rawValue.hasPrefix($0) }
    }
    mutating func sequence(_ topic: Topic, _ stream: String) -> UInt64 {
      defer { sequences[topic.rawValue + stream, default: 0] += 1 }
      return sequences[topic.rawValue + stream, default: 0]
    }
  }

  private func work(_ socket: ZeroMQSocket) {
    var session = Session(socket: socket, pixels: AlignedBuffer(count: ring.slotBytes))
    session.nextFrame = ring.published
    while true {
      beatCount.update { $0 += 1 }
      takeSubscriptions(&session)
      let wantsPixels = session.wants(.frame) || session.wants(.preview)
      if wantsPixels {
        _ = ring.waitForPublished(beyond: session.nextFrame, atMost: Seconds(0.005))
        publishFrames(&session)
      } else {
        session.nextFrame = ring.published
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
    case .reference(let frame, let reference):
      guard session.wants(.reference) else { return }
      header = self.header(.reference, frame, run, &session)
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
  private func header(_ topic: Topic, _ frame: FrameHeader, _ run: String?, _ session: inout Session) -> StreamHeader {
    let fitted =
      frame.flags.contains(.noDeviceTime)
      ? nil : cameraModel.read { $0 }?.host(atDevice: frame.deviceNanoseconds, arrival: frame.arrival)
    let start = fitted?.time ?? frame.arrival - Seconds(nanoseconds: frame.exposureNanoseconds)
    var header = header(topic, "camera", run, at: start, &session)
    header.members = ["arrival_mono_ns": .integer(frame.arrival.nanoseconds)]
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
  private func publishFrames(_ session: inout Session) {
    let published = ring.published
    if published - min(session.nextFrame, published) > UInt64(ring.slotCount / 2) {
      session.sequences[Topic.frame.rawValue + "camera", default: 0] += published - 1 - session.nextFrame
      session.nextFrame = published - 1
    }
    while session.nextFrame < published {
      let sequence = session.nextFrame
      session.nextFrame += 1
      guard let frame = unsafe ring.copy(sequence, into: session.pixels.bytes), frame.bytes > 0 else {
        // Overwritten before it could be taken: missing in `seq`, as for any slow subscriber.
        if session.wants(.frame) { session.sequences[Topic.frame.rawValue + "camera", default: 0] += 1 }
        continue
      }
      let pixels = unsafe UnsafeRawBufferPointer(start: session.pixels.bytes.baseAddress, count: frame.bytes)
      let run = runID.read { $0 }
      if session.wants(.frame) {
        var header = self.header(.frame, frame, run, &session)
        let picture = picture(frame, dtype: frame.pixelType.numpyName, height: frame.height, width: frame.width)
        header.picture = picture
        header.parts = [picture.part]
        unsafe try? session.socket.send(header.messageHead, tail: pixels, waiting: false)
      }
      if session.wants(.preview), frame.arrival - session.lastPreview >= Self.previewInterval,
        let preview = unsafe PreviewImage(frame, pixels, side: Self.previewSide)
      {
        session.lastPreview = frame.arrival
        var header = self.header(.preview, frame, run, &session)
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
