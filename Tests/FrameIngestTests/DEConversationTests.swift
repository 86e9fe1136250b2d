import DEMessaging
import FrameRing
import Linux
import Quantities
import Testing
import TwinBench

@testable import FrameIngest

/// A DE-Server that says what it is told to say; after its first client it hangs up on everybody.
private final class ScriptedServer: @unchecked Sendable {
  let listener: TCPListener
  private var thread: NamedThread?
  private let isOver = Monitor(false)

  /// - Parameter answer: the bytes after the n-th request, and how long the next request may take; nil hangs up.
  init(_ answer: @escaping @Sendable (Int, DECommand) -> (bytes: [UInt8], patience: Seconds?)) throws {
    let (listener, isOver) = (try TCPListener("127.0.0.1:0"), isOver)
    self.listener = listener
    thread = NamedThread("scripted-de") {
      if let stream = try? listener.accept(within: Seconds(5)) {
        Self.serve(stream, answer)
        stream.shutdown()
      }
      while !isOver.read({ $0 }) { (try? listener.accept(within: Seconds(0.005)))??.shutdown() }
    }
  }

  private static func serve(_ stream: UnixStream, _ answer: (Int, DECommand) -> (bytes: [UInt8], patience: Seconds?)) {
    var requests = 0
    var patience = Seconds(5)
    while let head = try? stream.readExactly(4, within: patience) {
      let count = head.reversed().reduce(0) { $0 << 8 | Int($1) }
      guard let body = try? stream.readExactly(count, within: patience), let packet = try? DEPacket(parsing: body),
        let command = packet.commands.first
      else { return }
      let (bytes, next) = answer(requests, command)
      requests += 1
      guard (try? stream.write(bytes)) != nil, let next else { return }
      patience = next
    }
  }

  deinit {
    isOver.update { $0 = true }
    thread?.join()
  }
}

@Suite("Conversations with a DE-Server that go wrong")
struct DEConversationTests {
  private static let frames = 3

  /// What a server of 4 × 2 pixels says; the movie buffer's header and pixels follow their answer.
  private static func answer(_ command: DECommand) -> [UInt8] {
    let movie = littleEndian((0..<Int64(frames)).map { $0 }) + [UInt8](repeating: 0, count: 8)
    let values: [DEValue]
    var rest: [UInt8] = []
    switch DECommandNumber(rawValue: command.id % 100) {
    case .listCameras: values = [.text("DE16")]
    case .getProperty:
      switch command.values.first?.text {
      case "Server Software Version": values = [.text("2.7.4.1")]
      case "Frames Per Second": values = [.float(100)]
      case "Image Size X (pixels)": values = [.integer(4)]
      case "Image Size Y (pixels)": values = [.integer(2)]
      case "Acquisition Status": values = [.text("Idle")]
      default: values = [.text("x")]
      }
    case .getMovieBufferInfo: values = [32, 16 * 3, 0, 32, 4, 2, 3, 5].map { .integer($0) }
    case .getMovieBuffer:
      values = [.integer(5), .integer(32 + 16 * 3), .integer(3)]
      rest = movie + (0..<16 * 3).map { UInt8($0) }
    case .getResult:
      values = [.integer(5), .integer(4), .integer(2)] + Array(repeating: .float(1), count: 20)
      var header = DEPacket(.dataHeader)
      header.dataBytes = 16
      rest = header.framed + [UInt8](repeating: 1, count: 16)
    default: values = []
    }
    var packet = DEPacket(.acknowledge)
    packet.acknowledges = [DEAcknowledge(id: command.id, values: values)]
    return packet.framed + rest
  }

  /// Everything that a receiver does with a camera, until something fails.
  private func converse(_ listener: TCPListener, _ ring: FrameRing, looks: Int) throws -> [CameraEvent] {
    let camera = try CameraModels.make(CameraSettings(model: "de", url: "tcp://\(listener.address)"))
    try camera.connect()
    try camera.start(ExposureRequest(series: 1, framePeriod: Seconds(0.01), exposure: Seconds(0.009)), into: ring)
    var events: [CameraEvent] = []
    for _ in 0..<looks {
      events.append(try camera.next(into: ring, step: 0, atMost: Seconds(0.5)))
      if ring.filled > 0 { ring.release(through: ring.published - 1) }
    }
    return events
  }

  private func ring() throws -> (TemporaryDirectory, FrameRing) {
    let directory = try TemporaryDirectory()
    return (directory, try FrameRing.create(directory.path + "/ring", slots: 8, slotBytes: 4096))
  }

  @Test("The answers that are damaged below are good ones")
  func good() throws {
    let (directory, ring) = try ring()
    defer { _ = directory }
    let server = try ScriptedServer { _, command in (Self.answer(command), Seconds(5)) }
    let events = try converse(server.listener, ring, looks: 12)
    #expect(events.count { $0 == .frame } >= 6)
    #expect(!events.contains { if case .refusedFrame = $0 { true } else { false } })
  }

  @Test("No mutation of an answer, of a header or of a length does harm")
  func mutations() throws {
    let (directory, ring) = try ring()
    defer { _ = directory }
    // Requests of one conversation, in order, to begin the mutations with.
    let commands = Monitor<[DECommand]>([])
    let recorder = try ScriptedServer { _, command in
      commands.update { $0.append(command) }
      return (Self.answer(command), Seconds(5))
    }
    _ = try converse(recorder.listener, ring, looks: 9)
    let corpus = commands.read { $0 }.map { Self.answer($0) }
    #expect(corpus.count > 12)
    var (frames, failures) = (0, 0)
    try Mutations("DE conversations", 400, of: corpus).forEach { bytes, numbers in
      let victim = Int.random(in: 0..<corpus.count, using: &numbers)
      // Half of them go on for a moment, so that good answers follow the damage.
      let patience: Seconds? = Bool.random(using: &numbers) ? Seconds(0.05) : nil
      let server = try ScriptedServer { index, command in
        index < victim
          ? (Self.answer(command), Seconds(5)) : (index == victim ? bytes : Self.answer(command), patience)
      }
      do {
        let events = try converse(server.listener, ring, looks: 9)
        frames += events.count { $0 == .frame }
      } catch is CameraError {
        failures += 1
      }
    }
    #expect(frames > 100)
    #expect(failures > 50)
  }
}
