import FrameRing
import Glibc
import Linux
import NanobatteryTwin
import Quantities
import Testing

@testable import FrameIngest

/// Names a python that has `deapi` and `numpy` (Tests/requirements-alone.txt).
private let python = getenv("INSITUD_PYTHON").map { String(cString: $0) }
private let tests = #filePath.split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 }

@Suite(
  "Direct Electron's own programs", .serialized,
  .enabled(if: python != nil, "INSITUD_PYTHON names no python with deapi"))
struct DEClientTests {
  @Test("The client of the maker reads our emulated server frame by frame, its dose too, and stops it")
  func client() throws {
    let frames = 30
    let bench = try DEBench { $0.software = "2.8.3.12436" }
    let address = bench.server.address.split(separator: ":")
    let command = "\(python!) \(tests)/de_client.py \(address[0]) \(address[1]) \(frames) \(bench.directory.path) 2>&1"
    let pipe = try #require(popen(command, "r"))
    var (text, line) = ("", [CChar](repeating: 0, count: 4096))
    while fgets(&line, 4096, pipe) != nil {
      text += String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    #expect(pclose(pipe) == 0, "\(text)")
    let numbers = (0..<frames).map { "\($0)" }.joined(separator: ",")
    for told in [
      "command version 17", "camera Twin DE", "frames per second 100.0", "status FINISHED", "indices \(numbers)",
      "picture 48x64 UINT16", "mean agrees True", "dose agrees True", "histogram True", "acquiring True",
      "stopped True",
    ] {
      #expect(text.contains(told + "\n"), "\(told) is missing in \(text)")
    }
    let sent = bench.sent.read { $0 }
    #expect(sent.count == frames)
    for (number, crc) in sent {
      let bytes = try FileSystem.read("\(bench.directory.path)/\(number).u16")
      #expect(bytes.withUnsafeBytes { crc32c($0) } == crc, "frame \(number)")
    }
  }

  @Test("Our receiver records the maker's own simulated server frame by frame")
  func simulator() throws {
    let directory = try TemporaryDirectory()
    let pipe = try #require(popen("\(python!) \(tests)/de_server.py \(directory.path) 2>/dev/null", "r"))
    defer { pclose(pipe) }
    var line = [CChar](repeating: 0, count: 64)
    try #require(fgets(&line, 64, pipe) != nil, "the simulator printed no port")
    let port = String(decoding: line.prefix { $0 > 32 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let ring = try FrameRing.create(directory.path + "/ring", slots: 32, slotBytes: 1024 * 1024 * 2)
    let camera = try CameraModels.make(CameraSettings(model: "de", url: "tcp://127.0.0.1:\(port)"))
    defer { camera.close() }
    try camera.connect()
    #expect(camera.identity.model == "Fake Camera")
    try camera.start(ExposureRequest(series: 3, framePeriod: Seconds(0.02), exposure: Seconds(0.01)), into: ring)
    // It has 16 frames to give, and then says that its acquisition is over.
    var over: CameraError?
    let end = MonotonicTime.now + Seconds(30)
    while over == nil, MonotonicTime.now < end {
      do { _ = try camera.next(into: ring, step: 0, atMost: Seconds(0.5)) } catch { over = error }
    }
    #expect(
      over?.description.contains("ended by itself after 16 frames") == true, "\(over.map { "\($0)" } ?? "no end")")
    #expect(ring.published == 16)
    var different: Set<UInt32> = []
    for sequence in 0..<ring.published {
      let seen = ring.read(sequence) { header, pixels in (header, Array(pixels)) }
      let (header, pixels) = try #require(seen)
      #expect(header.frameNumber == sequence)
      #expect(header.deviceNanoseconds == Int64(sequence) * 20_000_000)
      #expect(try FileSystem.read("\(directory.path)/\(sequence).u16") == pixels)
      different.insert(header.pixelCRC)
    }
    #expect(different.count == 4)
  }
}
