import FrameIngest
import FrameRing
import Glibc
import Linux
import NanobatteryTwin
import Pixels
import Quantities
import Testing

/// The receiver commands the emulated detector over HTTP.
@Suite("SIMPLON detector under command", .serialized)
struct SimplonControlTests {
  private let version = "1.8.0"

  @Test(
    "A commanded series: configured, armed, triggered, ended, and nothing else is sent",
    arguments: [SimplonWire.Version.legacy, .cbor])
  func series(wire: SimplonWire.Version) throws {
    let bench = try SimplonBench(SimplonWire(wire), control: version)
    guard case .connected(let identity) = bench.wait(for: { if case .connected = $0 { true } else { false } }) else {
      Issue.record("not connected")
      return
    }
    #expect(identity.model == SimplonWire.model)
    #expect(identity.serial == "TWIN-CAM-1")
    #expect((identity.width, identity.height) == (64, 48))
    #expect(identity.pixelType == .u16)
    // Connecting changes nothing.
    #expect(bench.port?.requests.allSatisfy { $0.hasPrefix("GET ") } == true)

    bench.record(5)
    #expect(bench.wait { $0 == .seriesStarted(series: 5) } != nil)
    #expect(bench.ring.waitForPublished(beyond: 20, atMost: Seconds(60)))
    bench.thread.send(.stop)
    #expect(bench.wait { $0 == .stopped } != nil)
    let end = try #require(bench.end())
    let frames = bench.frames
    #expect(end.series == 5)
    #expect(end.triggered == UInt64(frames.count))
    #expect(end.received == UInt64(frames.count))
    #expect(frames.map(\.header.frameNumber) == Array(0..<UInt64(frames.count)))
    #expect(frames.allSatisfy { $0.header.series == 5 && $0.header.step == 1 })
    // The detector calls it series 1.
    let truth = bench.truth.read { $0[1] ?? [:] }
    #expect(frames.allSatisfy { truth[$0.header.frameNumber] == [$0.pixels] })
    #expect(frames[3].header.deviceNanoseconds == 9_000_000)

    let puts = bench.port?.requests.filter { $0.hasPrefix("PUT ") } ?? []
    let (detector, stream) = ("PUT /detector/api/1.8.0", "PUT /stream/api/1.8.0")
    #expect(
      puts == [
        #"\#(stream)/config/mode {"value":"enabled"}"#, #"\#(stream)/config/format {"value":"\#(wire.rawValue)"}"#,
        #"\#(detector)/config/trigger_mode {"value":"ints"}"#, #"\#(detector)/config/ntrigger {"value":1}"#,
        #"\#(detector)/config/nimages {"value":2000000000}"#, #"\#(detector)/config/count_time {"value":0.0025}"#,
        #"\#(detector)/config/frame_time {"value":0.003}"#, "\(detector)/command/arm ", "\(detector)/command/trigger ",
        "\(detector)/command/cancel ", "\(detector)/command/disarm ",
      ])
    #expect(bench.warnings == [])
  }

  @Test("One commanded series after the other, each under its own number")
  func twoSeries() throws {
    let bench = try SimplonBench(SimplonWire(.cbor), control: version)
    bench.record(1)
    #expect(bench.ring.waitForPublished(beyond: 10, atMost: Seconds(60)))
    bench.record(2, period: Seconds(0.004), exposure: Seconds(0.002))
    let first = try #require(bench.end())
    let frames = UInt64(bench.frames.filter { $0.header.series == 1 }.count)
    #expect(first == .init(series: 1, triggered: frames, received: frames, refusedByRing: 0, unusable: 0))
    #expect(bench.ring.waitForPublished(beyond: frames + 10, atMost: Seconds(60)))
    bench.thread.send(.stop)
    #expect(bench.wait { $0 == .stopped } != nil)
    let second = bench.frames.filter { $0.header.series == 2 }
    #expect(bench.end(2)?.triggered == UInt64(second.count))
    #expect(second.allSatisfy { $0.header.exposureNanoseconds == 2_000_000 })
    #expect(second.dropFirst().first?.header.deviceNanoseconds == 4_000_000)
  }

  @Test("A detector that cannot do what is asked refuses the series, and is asked again for the next")
  func refused() throws {
    let bench = try SimplonBench(SimplonWire(.cbor), control: version)
    // The exposure is longer than the period, so that the detector makes the period longer.
    bench.record(1, period: Seconds(0.002), exposure: Seconds(0.003))
    let report = bench.wait { if case .refused = $0 { true } else { false } }
    guard case .refused(1, let error) = report else {
      Issue.record("\(String(describing: report))")
      return
    }
    #expect(error.description.contains("frame_time of 2.00 ms: it set 3.00 ms"), "\(error)")
    bench.record(2)
    #expect(bench.ring.waitForPublished(beyond: 3, atMost: Seconds(60)))
  }

  @Test("Another version of the API is refused, and says which")
  func otherVersion() throws {
    let bench = try SimplonBench(SimplonWire(.cbor), control: "1.6.0")
    let report = bench.wait { if case .disconnected = $0 { true } else { false } }
    guard case .disconnected(let error) = report else {
      Issue.record("\(String(describing: report))")
      return
    }
    #expect(error.description.contains("answered version (1.8 is understood) with “1.6.0”"), "\(error)")
  }

  @Test("Nobody at the address: told once, with the address")
  func nobody() throws {
    let bench = try SimplonBench(SimplonWire(.cbor)) { _, receiver in receiver.control = "http://127.0.0.1:1" }
    let report = bench.wait { if case .disconnected = $0 { true } else { false } }
    guard case .disconnected(let error) = report else {
      Issue.record("\(String(describing: report))")
      return
    }
    #expect(error.description.hasPrefix("camera at http://127.0.0.1:1 cannot be reached: version"), "\(error)")
  }

  @Test("A series that somebody else ends has the frames that came, not those that it was armed for")
  func endedByOthers() throws {
    let bench = try SimplonBench(SimplonWire(.cbor), control: version)
    bench.record(1)
    #expect(bench.ring.waitForPublished(beyond: 5, atMost: Seconds(60)))
    let port = try #require(bench.port)
    #expect(try Request(port.address).put("detector/api/1.8.0/command/disarm").contains("200 OK"))
    let end = try #require(bench.end())
    #expect(end.triggered == UInt64(bench.frames.count))
    #expect(end.received == UInt64(bench.frames.count))
    bench.record(2)
    #expect(bench.wait { $0 == .seriesStarted(series: 2) } != nil)
    #expect(bench.ring.waitForPublished(beyond: end.received + 3, atMost: Seconds(60)))
  }

  @Test("A trigger that is refused ends the series when nothing has come for a while")
  func triggerRefused() throws {
    let bench = try SimplonBench(SimplonWire(.cbor), control: version)
    let port = try #require(bench.port)
    port.refuseTrigger()
    bench.record(1)
    let end = try #require(bench.end())
    #expect(end.received == 0)
    #expect(bench.warnings.contains { $0.contains("refused trigger: HTTP 400") }, "\(bench.warnings)")
    // Over a connection that is open already the answer is there at once.
    port.refuseTrigger()
    bench.record(2)
    #expect(bench.end(2)?.received == 0)
    bench.record(3)
    #expect(bench.ring.waitForPublished(beyond: 3, atMost: Seconds(60)))
  }

  @Test("A detector that is switched off and on again is armed for a new series")
  func restarted() throws {
    let bench = try SimplonBench(SimplonWire(.cbor), control: version)
    bench.record(1)
    #expect(bench.ring.waitForPublished(beyond: 5, atMost: Seconds(60)))
    try bench.restartDetector()
    let first = try #require(bench.end())
    #expect(first.series == 1)
    // It never said how many it exposed.
    #expect(first.triggered == nil)
    let told = bench.wait { if case .disconnected = $0 { true } else { false } }
    guard case .disconnected(let error) = told else {
      Issue.record("the loss was not told")
      return
    }
    #expect(error.description.contains("is gone: trigger: "), "\(error)")
    #expect(bench.wait { $0 == .seriesStarted(series: 2) } != nil)
    let before = bench.ring.published
    #expect(bench.ring.waitForPublished(beyond: before + 3, atMost: Seconds(60)))
    bench.thread.send(.stop)
    #expect(bench.wait { $0 == .stopped } != nil)
    let second = bench.frames.filter { $0.header.series == 2 }
    #expect(bench.end(2)?.triggered == UInt64(second.count))
  }

  @Test("A detector that is armed by somebody else says so, and frames of his series are not recorded")
  func armedByOthers() throws {
    let bench = try SimplonBench(SimplonWire(.cbor), control: version)
    let port = try #require(bench.port)
    let other = try Request(port.address)
    #expect(try other.put("stream/api/1.8.0/config/mode", #"{"value":"enabled"}"#).contains("200 OK"))
    #expect(try other.put("detector/api/1.8.0/command/arm").contains(#""sequence id":1"#))
    bench.record(1)
    let report = bench.wait { if case .refused = $0 { true } else { false } }
    guard case .refused(1, let error) = report else {
      Issue.record("\(String(describing: report))")
      return
    }
    #expect(error.description.contains("the detector is armed"), "\(error)")
    #expect(bench.ring.published == 0)
    #expect(try other.put("detector/api/1.8.0/command/disarm").contains("200 OK"))
    bench.record(2)
    #expect(bench.ring.waitForPublished(beyond: 5, atMost: Seconds(60)))
    #expect(bench.frames.allSatisfy { $0.header.series == 2 })
  }

  /// A client of HTTP in a few lines, so that not only libcurl speaks to the emulated detector.
  private struct Request {
    let port: UInt16
    init(_ address: String) throws { port = try #require(UInt16(address.split(separator: ":")[1])) }

    func put(_ path: String, _ body: String = "") throws -> String {
      let descriptor = FileDescriptor(owning: socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
      let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.connect(descriptor.number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
      try #require(result == 0)
      var limit = timeval(tv_sec: 60, tv_usec: 0)
      setsockopt(descriptor.number, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
      let text = "PUT /\(path) HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
      _ = Array(text.utf8).withUnsafeBytes { write(descriptor.number, $0.baseAddress, $0.count) }
      // The answers are short, and sent in one piece.
      var answer = [UInt8](repeating: 0, count: 4096)
      let count = read(descriptor.number, &answer, answer.count)
      return String(decoding: answer.prefix(max(0, count)), as: UTF8.self)
    }
  }
}
