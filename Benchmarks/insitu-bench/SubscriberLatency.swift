import FrameRing
import Glibc
import Linux
import Quantities
import ZeroMQ

/// From the instant at which a frame is complete in the daemon (its arrival stamp) to a reader outside that has it.
struct SubscriberLatency {
  let daemon: DaemonUnderTest
  let seconds: Int

  /// Records, and listens to `topic` and to the ring meanwhile.
  /// - Returns: latencies of messages and of the ring's onlooker, and messages missed.
  func measure(topic: String) throws(BenchmarkError) -> (message: Spread, ring: Spread, received: Int) {
    let context = ZeroMQContext()
    let frames = UInt64(seconds * 400)
    let ring = daemon.ring
    let found = Monitor((message: [Double](), ring: [Double]()))
    let isOver = Monitor(false)
    let socket: ZeroMQSocket
    do throws(ZeroMQError) {
      socket = try ZeroMQSocket(context, .subscribe)
      socket.setHighWaterMark(send: 1, receive: 64)
      socket.subscribe(topic)
      try socket.connect(daemon.streams)
    } catch { throw BenchmarkError("\(error)") }

    let subscriber = NamedThread("bench-subscriber") {
      let latencies = Self.listen(socket, until: isOver)
      found.update { $0.message = latencies }
    }
    let start = ring.published
    let onlooker = NamedThread("bench-onlooker") {
      let latencies = Self.look(ring, from: start, count: frames, until: isOver)
      found.update { $0.ring = latencies }
    }
    defer {
      isOver.update { $0 = true }
      subscriber.join()
      onlooker.join()
    }
    let run = try daemon.start(BenchmarkProtocol.frames(seconds: seconds))
    defer { removeDirectory(run.directory) }
    try expectComplete(try daemon.finish(run.id))
    isOver.update { $0 = true }
    subscriber.join()
    onlooker.join()
    let (messages, looks) = found.read { $0 }
    guard !messages.isEmpty, !looks.isEmpty else { throw BenchmarkError("no frame came to the subscriber of \(topic)") }
    return (Spread(messages), Spread(looks), messages.count)
  }

  private static func listen(_ socket: ZeroMQSocket, until isOver: Monitor<Bool>) -> [Double] {
    var latencies: [Double] = []
    while !isOver.read({ $0 }) {
      guard socket.waitReadable(milliseconds: 50) else { continue }
      var received = MonotonicTime.now
      while unsafe (try? socket.receive({ index, _, bytes in
        if index == 0 { received = .now }
        guard index == 1, let stamp = unsafe number(after: #""arrival_mono_ns":"#, in: bytes) else { return }
        latencies.append((received - MonotonicTime(nanoseconds: stamp)).value)
      })) == true {}
    }
    return latencies
  }

  /// Copies each new frame, as an outside reader would; the latency is that of the wake-up, before the copy.
  private static func look(_ ring: FrameRing, from start: UInt64, count: UInt64, until isOver: Monitor<Bool>)
    -> [Double]
  {
    let pixels = AlignedBuffer(count: ring.slotBytes)
    var latencies: [Double] = []
    var next = start
    while !isOver.read({ $0 }) {
      guard ring.waitForPublished(beyond: next, atMost: Seconds(0.05)) else { continue }
      let seen = MonotonicTime.now
      // Only the newest was waited for; older ones that came together with it are not late by our waiting.
      next = ring.published
      if let frame = unsafe ring.copy(next - 1, into: pixels.bytes), frame.arrival <= seen, frame.bytes > 0 {
        latencies.append((seen - frame.arrival).value)
      }
    }
    return latencies
  }
}

/// The integer behind `key` in a line of JSON; parsing it all would cost more than what is measured.
private func number(after key: String, in bytes: UnsafeRawBufferPointer) -> Int64? {
  let key = Array(key.utf8)
  guard bytes.count > key.count else { return nil }
  for start in 0..<bytes.count - key.count where unsafe bytes[start..<start + key.count].elementsEqual(key) {
    var value: Int64 = 0
    var at = start + key.count
    while at < bytes.count, case let digit = unsafe bytes[at], digit >= 48, digit <= 57 {
      value = value * 10 + Int64(digit - 48)
      at += 1
    }
    return value
  }
  return nil
}
