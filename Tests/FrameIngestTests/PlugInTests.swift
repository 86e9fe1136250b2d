import FrameIngest
import FrameRing
import Glibc
import Linux
import Pixels
import Quantities
import Testing

/// The example of a camera plug-in in C, compiled as its first lines say.
@Suite("A camera plug-in in C")
struct PlugInTests {
  private let directory: TemporaryDirectory
  private let plugIn: pid_t

  init() throws {
    directory = try TemporaryDirectory()
    let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let program = directory.path + "/camera-plugin"
    // Swift's toolchain brings clang.
    let compiled = system(
      "clang -O2 -Wall -Wextra -Werror -I '\(root)/Sources/CFrameRing/include' '\(root)/examples/camera_plugin.c' "
        + "-o '\(program)'")
    try #require(compiled == 0)
    var process = pid_t()
    let words = [program, directory.path + "/port", directory.path + "/ring"]
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { arguments.forEach { free($0) } }
    try #require(posix_spawn(&process, program, nil, nil, &arguments, environ) == 0)
    plugIn = process
  }

  private func end() {
    kill(plugIn, SIGTERM)
    var status: Int32 = 0
    waitpid(plugIn, &status, 0)
    #expect(status == 0)
    #expect(!FileSystem.exists(directory.path + "/port") && !FileSystem.exists(directory.path + "/ring"))
  }

  private func camera() throws -> any Camera {
    let camera = try CameraModels.make(CameraSettings(model: "shm", url: directory.path + "/port"))
    let until = MonotonicTime.now + Seconds(10)
    while true {
      do {
        try camera.connect()
        return camera
      } catch {
        guard MonotonicTime.now < until else { throw error }
        sleepThread(for: Seconds(0.01))
      }
    }
  }

  @Test("Two series of it are recorded frame by frame, each with its end and what was triggered")
  func series() throws {
    defer { end() }
    let ring = try FrameRing.create(directory.path + "/daemon-ring", slots: 8, slotBytes: 256 * 256 * 2)
    let camera = try camera()
    #expect(camera.identity.width == 256 && camera.identity.pixelType == .u16)
    #expect(try camera.probeClock() != nil)
    for series in [7, 8] as [UInt64] {
      try camera.start(
        ExposureRequest(series: series, framePeriod: Seconds(0.001), exposure: Seconds(0.0009)), into: ring)
      var frames: UInt64 = 0
      var last: UInt64 = 0
      var ended: UInt64?
      let until = MonotonicTime.now + Seconds(20)
      while ended == nil, MonotonicTime.now < until {
        switch try camera.next(into: ring, step: 1, atMost: Seconds(1)) {
        case .frame:
          let seen = ring.read(ring.published - 1) { header, pixels in
            (header, pixels.withMemoryRebound(to: UInt16.self) { [$0[0], $0[1], $0[65_535]] })
          }
          let (header, pixels) = try #require(seen)
          #expect(header.series == series)
          #expect(frames == 0 || header.frameNumber == last + 1 + header.refusedBefore)
          let number = UInt16(truncatingIfNeeded: header.frameNumber)
          #expect(pixels == [number, number &+ 1, number &+ 65_535])
          ring.release(through: ring.published - 1)
          frames += 1
          last = header.frameNumber
          if frames == 200 { try camera.stop() }
        case .seriesEnded(let number, let triggered):
          #expect(number == series)
          ended = triggered
        default: break
        }
      }
      #expect(frames >= 200)
      // More only if its own ring was full at the very end.
      #expect(try #require(ended) >= last + 1)
    }
    camera.close()
  }

  @Test("What it cannot do it refuses, and lives on")
  func refusals() throws {
    defer { end() }
    let ring = try FrameRing.create(directory.path + "/daemon-ring", slots: 8, slotBytes: 256 * 256 * 2)
    let camera = try camera()
    #expect(throws: CameraError.self) {
      try camera.start(
        ExposureRequest(series: 1, framePeriod: Seconds(0.00001), exposure: Seconds(0.00001)), into: ring)
    }
    camera.close()
    // The next client is served.
    #expect(try self.camera().identity.model == "example plug-in")
  }
}
