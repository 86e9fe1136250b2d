import FrameIngest
import FrameRing
import Glibc
import JSON
import Linux
import NanobatteryTwin
import Pixels
import Quantities
import Testing

/// The receiver and the emulated detector, over loopback.
@Suite("SIMPLON camera and the twin's detector", .serialized)
struct SimplonSenderTests {
  /// Every depth with the compression that detectors use by themselves, and every compression of 16 bits.
  private static let wires: [SimplonWire] = [SimplonWire.Version.legacy, .cbor].flatMap { version in
    let cases: [(PixelType, SimplonWire.Compression)] = [
      (.u8, .bslz4), (.u16, .bslz4), (.u32, .bslz4), (.u16, .lz4), (.u16, .none),
    ]
    return cases.map { type, compression in
      var wire = SimplonWire(version)
      wire.compression = compression
      wire.pixelType = type
      return wire
    }
  }

  /// Every frame in the ring is what the camera gave under its number.
  private func check(_ bench: SimplonBench, recordedAs series: UInt64 = 1) {
    let truth = bench.truth.read { $0 }
    for (header, pixels) in bench.frames where header.series == series {
      let isTrue = truth[header.series]?[header.frameNumber]?.contains(pixels) == true
      #expect(isTrue, "frame \(header.frameNumber)")
      #expect(header.deviceNanoseconds == Int64(header.frameNumber) * 3_000_000)
      #expect(header.exposureNanoseconds == 2_500_000)
    }
  }

  /// What the gap detector makes of the frames in the ring.
  private func account(_ bench: SimplonBench, _ end: SimplonBench.End) -> (GapDetector, [FrameGap]) {
    var detector = GapDetector(series: end.series)
    for (header, _) in bench.frames where header.series == end.series { _ = detector.observe(header) }
    let gaps = detector.finish(triggered: end.triggered, refusedByRing: end.refusedByRing, unusable: end.unusable)
    return (detector, gaps)
  }

  @Test("Every version, compression and depth: what was sent is in the ring, pixel by pixel", arguments: wires.indices)
  func everyWire(index: Int) throws {
    let wire = Self.wires[index]
    let bench = try SimplonBench(wire)
    bench.record()
    let end = try #require(bench.end())
    #expect(end == .init(series: 1, triggered: 20, received: 20, refusedByRing: 0, unusable: 0))
    let frames = bench.frames
    #expect(frames.map(\.header.frameNumber) == Array(0..<20))
    #expect(frames.allSatisfy { $0.header.pixelType == wire.pixelType && $0.header.width == 64 })
    check(bench)
    // The pictures are not all the same, or little would be shown.
    #expect(Set(frames.map(\.pixels)).count > 10)
    let told = bench.wait { if case .identified = $0 { true } else { false } }
    guard case .identified(let identity) = told else {
      Issue.record("nothing was told of the detector")
      return
    }
    #expect(identity.model == SimplonWire.model)
    #expect(identity.pixelType == wire.pixelType)
    #expect((identity.width, identity.height) == (64, 48))
  }

  @Test(
    "Lost, repeated, reordered and damaged frames and a stall: the account balances",
    arguments: [SimplonWire.Version.legacy, .cbor])
  func faults(version: SimplonWire.Version) throws {
    var camera = CameraFaults()
    camera.lose = .init(frames: 2, every: 10)
    camera.repeat = .init(frames: 1, every: 7)
    camera.stall = (span: Seconds(0.1), after: Seconds(0.05))
    let bench = try SimplonBench(SimplonWire(version), faults: camera) { settings, _ in
      settings.images = 80
      settings.faults.reorder = .init(frames: 1, every: 6)
      settings.faults.damage = .init(frames: 1, every: 11)
    }
    bench.record()
    let end = try #require(bench.end())
    let counts = bench.sender.counts
    #expect(end.triggered == 80)
    #expect(counts.dropped == 0)
    #expect(counts.damaged > 3)
    // Each damaged frame came with a message of noise.
    #expect(end.unusable == 2 * counts.damaged)
    #expect(end.received == counts.sent + end.unusable)
    #expect(UInt64(bench.frames.count) == counts.sent)
    check(bench)
    let (detector, gaps) = account(bench, end)
    #expect(detector.repeatedFrames > 5)
    #expect(detector.lateFrames > 5)
    #expect(detector.frames + gaps.reduce(0) { $0 + $1.frames } == 80)
    #expect(Set(bench.frames.map(\.header.frameNumber)).count == Int(detector.frames))
    // 16 were lost by plan, and of the damaged the numbers that no repetition brought.
    #expect(detector.missing(.lostAtSource) + detector.missing(.unusable) == 80 - detector.frames)
    #expect(bench.truth.read { $0[1]?.count } == 64)
  }

  @Test("Joined in the middle: what was before is a gap", arguments: [SimplonWire.Version.legacy, .cbor])
  func joinedLate(version: SimplonWire.Version) throws {
    let bench = try SimplonBench(SimplonWire(version)) { settings, _ in settings.faults.joinAt = 7 }
    bench.record()
    let end = try #require(bench.end())
    #expect(end == .init(series: 1, triggered: 20, received: 13, refusedByRing: 0, unusable: 0))
    check(bench)
    #expect(account(bench, end).1 == [FrameGap(series: 1, first: 0, last: 6, frames: 7, cause: .lostAtSource)])
  }

  @Test(
    "A detector that goes away and comes back is received again, and the hole is a gap",
    arguments: [SimplonWire.Version.legacy, .cbor])
  func breakOff(version: SimplonWire.Version) throws {
    let bench = try SimplonBench(SimplonWire(version)) { settings, _ in
      settings.images = 200
      settings.faults.absence = (frame: 20, span: Seconds(0.15))
    }
    bench.record()
    let end = try #require(bench.end())
    #expect(end.triggered == 200)
    #expect(end.unusable == 0)
    check(bench)
    let (detector, gaps) = account(bench, end)
    #expect(gaps.count == 1)
    #expect(gaps.first?.cause == .lostAtSource)
    #expect(detector.frames + (gaps.first?.frames ?? 0) == 200)
    #expect(bench.frames.last?.header.frameNumber == 199)
    #expect(bench.sender.counts.dropped > 20)
  }

  @Test("One series after the other, and a full ring refuses")
  func nextSeries() throws {
    let bench = try SimplonBench(SimplonWire(.cbor), slots: 30) { settings, _ in settings.series = 2 }
    bench.record()
    let first = try #require(bench.end())
    let second = try #require(bench.end(2))
    #expect(first == .init(series: 1, triggered: 20, received: 20, refusedByRing: 0, unusable: 0))
    #expect(second == .init(series: 2, triggered: 20, received: 20, refusedByRing: 10, unusable: 0))
    check(bench)
    check(bench, recordedAs: 2)
    #expect(
      account(bench, second).1 == [FrameGap(series: 2, first: 10, last: 19, frames: 10, cause: .ringFull)])
  }

  @Test("Several channels: the one that was chosen has its own counts")
  func channels() throws {
    var wire = SimplonWire(.cbor)
    wire.channels = ["threshold_1", "threshold_2"]
    let bench = try SimplonBench(wire) { _, receiver in receiver.channel = "threshold_2" }
    bench.record()
    #expect(bench.end()?.received == 20)
    let truth = bench.truth.read { $0[1] ?? [:] }
    for (header, pixels) in bench.frames {
      let whole = truth[header.frameNumber]?.first ?? []
      let halves = stride(from: 0, to: whole.count, by: 2).flatMap { index -> [UInt8] in
        let count = (UInt16(whole[index]) | UInt16(whole[index + 1]) << 8) >> 1
        return [UInt8(truncatingIfNeeded: count), UInt8(count >> 8)]
      }
      #expect(halves == pixels)
    }
    #expect(bench.warnings.contains { $0.contains("20 images of other channels") })
  }

  @Test("Nobody there: it waits, and stops when asked")
  func nobody() throws {
    let directory = try TemporaryDirectory()
    let ring = try FrameRing.create(directory.path + "/ring", slots: 4, slotBytes: 4096)
    let reports = Monitor<[CameraReport]>([])
    let camera = try CameraModels.make(CameraSettings(model: "simplon2", url: "tcp://127.0.0.1:1"))
    let thread = CameraThread(camera, ring: ring) { report in reports.update { $0.append(report) } }
    thread.send(.record(ExposureRequest(series: 1, framePeriod: Seconds(1), exposure: Seconds(1)), step: 0))
    thread.send(.stop)
    #expect(reports.wait(atMost: Seconds(60)) { $0.contains(.stopped) ? true : nil } == true)
    thread.send(.close)
    thread.join()
    #expect(ring.published == 0)
  }
}
