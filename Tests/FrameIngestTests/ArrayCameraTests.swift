import FrameRing
import JSON
import Linux
import Pixels
import Quantities
import Testing
import TwinBench
import ZeroMQ

@testable import FrameIngest
@testable import NanobatteryTwin

private func header(_ text: String) throws(DecodeError) -> ArrayHeader { try header(Array(text.utf8)) }

private func header(_ bytes: [UInt8]) throws(DecodeError) -> ArrayHeader {
  var header: ArrayHeader?
  var failure: DecodeError?
  bytes.withUnsafeBytes { bytes in
    do throws(DecodeError) { header = try ArrayHeader(bytes) } catch { failure = error }
  }
  if let failure { throw failure }
  return header!
}

private func image(_ text: String) throws -> ArrayImage {
  guard case .image(let image) = try header(text) else { throw DecodeError("no image") }
  return image
}

@Suite("Headers of array streams")
struct ArrayHeaderTests {
  @Test("array-1.0 in the variants that senders write")
  func variants() throws {
    let good = try image(
      #"{"htype":"array-1.0","type":"uint16","shape":[2,4],"frame":12,"endianess":"little","source":"","encoding":"","#
        + #""tag":"","timestamp":1700000000.5}"#)
    #expect(good.number == 12 && good.width == 4 && good.height == 2 && good.pixelType == .u16 && !good.isBigEndian)
    #expect(good.deviceNanoseconds == 1_700_000_000_500_000_000)
    // ADZMQ to 1.3: a list, and x before y.
    let old = try image(#"{"htype":["array-1.0"],"type":"uint8","shape":[4,2,1],"frame":0,"ndattr":{"a":1}}"#)
    #expect(old.width == 4 && old.height == 2 && old.pixelType == .u8 && old.deviceNanoseconds == nil)
    let new = try image(#"{"htype":"array-1.0","type":"uint32","shape":[1,2,4],"frame":0,"endianness":"big"}"#)
    #expect(new.width == 4 && new.height == 2 && new.pixelType == .u32 && new.isBigEndian)
    // A detector server with many keys of its own.
    let rich = try image(
      #"{"missing_packets_1":[0],"frame":0,"shape":[512,1024],"pulse_id":6021771850,"is_good_frame":1,"type":"uint16","#
        + #""htype":"array-1.0","encoding":"none","timestamp":[1700000000,5]}"#)
    #expect(rich.width == 1024 && rich.height == 512 && rich.deviceNanoseconds == 1_700_000_000_000_000_005)
    let nanoseconds = try image(
      #"{"htype":"array-1.1","type":"uint16","shape":[2,4],"frame":1,"timestamp":1700000000000000007}"#)
    #expect(nanoseconds.deviceNanoseconds == 1_700_000_000_000_000_007)
    #expect(try header(#"{"htype":"chunk-1.0"}"#) == .other)
  }

  private func sls(_ more: String) -> String {
    #"{"jsonversion":4,"bitmode":16,"fileIndex":0,"detshape":[1,1],"shape":[1024,512],"size":1048576,"acqIndex":1,"#
      + #""frameIndex":7,"fname":"run","frameNumber":8,"packetNumber":128,"quad":0,"addJsonHeader":{}"# + more + "}"
  }

  @Test("slsDetectorPackage: ticks of 100 ns, width before height, the dummy header at the end")
  func slsDetector() throws {
    let frame = try image(sls(#","data":1,"completeImage":1,"expLength":50,"timestamp":123456789"#))
    #expect(frame.number == 7 && frame.countsFromZero && frame.width == 1024 && frame.height == 512)
    #expect(frame.deviceNanoseconds == 12_345_678_900 && frame.exposureNanoseconds == 5000 && frame.fault == nil)
    #expect(try header(sls(#","data":0"#)) == .end)
    #expect(try image(sls(#","data":1,"completeImage":0"#)).fault?.contains("packets were lost") == true)
    #expect(try image(sls(#","data":1,"timestamp":0"#)).deviceNanoseconds == nil)
    #expect(try image(sls(#","data":1,"timestamp":9223372036854775807"#)).deviceNanoseconds == nil)
  }

  @Test("What cannot be recorded is refused with its cause")
  func refused() {
    let cases = [
      (#"{"frame":1}"#, "a message that is neither array-1.0 nor of slsDetector"),
      (#"{"htype":"array-1.0","type":"uint16","shape":[2,4]}"#, "an array without a usable frame number"),
      (#"{"htype":"array-1.0","type":"uint16","shape":[2,4],"frame":-1}"#, "an array without a usable frame number"),
      (#"{"htype":"array-1.0","type":"float32","shape":[2,4],"frame":1}"#, "arrays of type float32 cannot be recorded"),
      (#"{"htype":"array-1.0","type":"uint16","shape":[8],"frame":1}"#, "an array without a usable shape"),
      (#"{"htype":"array-1.0","type":"uint16","shape":[2,2,4],"frame":1}"#, "an array without a usable shape"),
      (#"{"htype":"array-1.0","type":"uint16","shape":[2,70000],"frame":1}"#, "an array without a usable shape"),
      (
        #"{"htype":"array-1.0","type":"uint16","shape":[2,4],"frame":1,"encoding":"lz4"}"#,
        "pixels encoded as “lz4”; let the sender send them as they are"
      ),
      (
        #"{"htype":"array-1.0","type":"uint16","shape":[2,4],"frame":1,"endianess":"odd"}"#,
        "an unknown byte order “odd”"
      ),
      (#"{"jsonversion":4,"bitmode":4,"shape":[4,2],"frameIndex":0}"#, "pixels of 4 bit; set `dr` to 8, 16 or 32"),
      (#"{"jsonversion":4,"bitmode":16,"shape":[4,2]}"#, "an slsDetector image without a usable frameIndex"),
    ]
    for (text, cause) in cases { #expect(throws: DecodeError(cause)) { _ = try header(text) } }
  }

  @Test("A count that begins anew is another series; stragglers are not")
  func numbering() throws {
    var frame = try image(#"{"htype":"array-1.0","type":"uint16","shape":[2,4],"frame":0}"#)
    var numbers = ArraySeriesNumbers()
    numbers.beginSeries()
    func place(_ number: UInt64, _ now: Int64) -> String {
      frame.number = number
      let (series, index) = numbers.place(frame, at: now * 1_000_000_000)
      return "\(series):\(index.map { "\($0)" } ?? "-")"
    }
    #expect(place(1000, 0) == "0:0" && place(1001, 0) == "0:1" && place(1050, 0) == "0:50")
    #expect(place(1030, 0) == "0:30" && place(1050, 0) == "0:50")
    #expect(place(1000, 0) == "1:0")  // back by 50
    #expect(place(999, 0) == "1:-" && place(1001, 0) == "1:1")
    #expect(place(1000, 3) == "2:0")  // back by one, after three seconds
    #expect(place(1000, 9) == "2:0")  // the same again
    #expect(place(1000 + (1 << 24) + 1, 9) == "3:0")
    numbers.beginSeries()
    #expect(place(7, 9) == "4:0")
    frame.countsFromZero = true
    numbers.beginSeries()
    #expect(place(7, 9) == "5:7")
  }

  @Test("Headers under mutation: refused, or within bounds")
  func mutations() {
    let corpus = [
      #"{"htype":"array-1.0","type":"uint16","shape":[2,4],"frame":12,"endianess":"little","encoding":"","timestamp":[1,2]}"#,
      #"{"htype":["array-1.0"],"type":"uint8","shape":[4,2,1],"frame":0,"timestamp":1.5e9}"#,
      sls(#","data":1,"completeImage":1,"expLength":50,"timestamp":123456789"#), sls(#","data":0"#),
    ].map { Array($0.utf8) }
    Mutations("array headers", 2000, of: corpus).forEach { bytes, _ in
      guard case .image(let image)? = try? header(bytes) else { return }
      #expect((1...65535).contains(image.width) && (1...65535).contains(image.height))
      #expect(image.number < 1 << 40 && image.exposureNanoseconds <= 1 << 61)
      #expect(image.deviceNanoseconds.map { (0...(1 << 61)).contains($0) } ?? true)
    }
  }
}

@Suite("Array camera")
struct ArrayCameraTests {
  private func sender(_ twin: TwinStream, _ change: (inout ArraySender.Settings) -> Void = { _ in }) throws
    -> ArraySender
  {
    var settings = ArraySender.Settings()
    settings.endpoint = "tcp://127.0.0.1:*"
    settings.period_ns = 2_500_000
    settings.exposure_ns = 2_400_000
    let sent = twin.sent
    settings.sent = { frame in sent.update { $0.append(frame) } }
    change(&settings)
    return try ArraySender(twin.camera, settings)
  }

  private func camera(_ sender: ArraySender, _ socket: CameraSocket = .pull) throws -> any Camera {
    let camera = try CameraModels.make(
      CameraSettings(model: "array", url: sender.endpoint, maximumFrameBytes: 1 << 20, socket: socket))
    try camera.connect()
    return camera
  }

  private let request = ExposureRequest(series: 1, framePeriod: Seconds(1), exposure: Seconds(1))

  /// Looks until `frames` frames have come and, with `ends`, so many series have ended.
  private func record(_ camera: any Camera, _ twin: TwinStream, frames: Int, ends: Int = 0) throws -> [CameraEvent] {
    try camera.start(request, into: twin.ring)
    var events: [CameraEvent] = []
    var left = (frames: frames, ends: ends)
    let limit = MonotonicTime.now + Seconds(15)
    while left.frames > 0 || left.ends > 0 {
      guard MonotonicTime.now < limit else {
        Issue.record("too few: \(left) left")
        break
      }
      let event = try camera.next(into: twin.ring, step: 3, atMost: Seconds(0.02))
      if event == .nothing { continue }
      if case .clockPair = event { continue }
      events.append(event)
      if event == .frame { left.frames -= 1 }
      if case .seriesEnded = event { left.ends -= 1 }
    }
    return events
  }

  /// Compares by pixels and stamps: a receiver counts from the first frame that it saw.
  private func compare(_ twin: TwinStream, ticks: Int64 = 1) {
    let received = twin.received()
    // A frame may be here before its sender has written down that it sent it.
    let last = received.last?.pixelCRC
    _ = twin.sent.wait(atMost: Seconds(5)) { sent in sent.contains { $0.pixelCRC == last } ? true : nil }
    let sent = twin.sent.read { $0 }
    guard let first = received.first, let start = sent.firstIndex(where: { $0.pixelCRC == first.pixelCRC }) else {
      Issue.record("nothing that was sent")
      return
    }
    let same = sent[start...].prefix(received.count)
    #expect(received.map(\.pixelCRC) == same.map(\.pixelCRC))
    #expect(twin.ring.statisticsHold)
    #expect(received.map(\.deviceNanoseconds) == same.map { $0.deviceNanoseconds / ticks * ticks })
    #expect(twin.checksumsHold)
  }

  @Test(
    "array-1.0 and slsDetector over PUSH: frames in the ring are those that were sent",
    arguments: [ArraySender.Format.array, .oldArray, .slsDetector])
  func formats(format: ArraySender.Format) throws {
    let twin = try TwinStream()
    let sender = try sender(twin) { $0.format = format }
    defer { sender.close() }
    let camera = try camera(sender)
    let events = try record(camera, twin, frames: 50)
    #expect(events.first == .seriesStarted(series: 0))
    #expect(events.dropFirst().allSatisfy { $0 == .frame })
    compare(twin, ticks: format == .slsDetector ? 100 : 1)
    let frame = try #require(twin.headers.last)
    #expect(frame.width == 64 && frame.height == 48 && frame.step == 3)
    #expect(frame.exposureNanoseconds == (format == .slsDetector ? 2_400_000 : 0))
    #expect(camera.identity.width == 64 && !camera.canBeCommanded)
  }

  @Test("Big-endian pixels are swapped, messages in two halves are put together")
  func bigEndianAndSplit() throws {
    let big = try TwinStream()
    let first = try sender(big) { $0.isBigEndian = true }
    _ = try record(try camera(first), big, frames: 20)
    first.close()
    compare(big)
    let split = try TwinStream()
    let second = try sender(split) {
      $0.format = .slsDetector
      $0.splitsMessages = true
    }
    defer { second.close() }
    let events = try record(try camera(second), split, frames: 20)
    #expect(events.filter { if case .refusedFrame = $0 { true } else { false } }.isEmpty)
    compare(split, ticks: 100)
  }

  @Test("A publisher is joined in the middle: its frames count from the first that was seen")
  func publisher() throws {
    let twin = try TwinStream()
    let sender = try sender(twin) { $0.publishes = true }
    defer { sender.close() }
    let end = MonotonicTime.now + Seconds(5)
    while twin.sent.read({ $0.count }) < 20, MonotonicTime.now < end { sleepThread(for: Seconds(0.005)) }
    _ = try record(try camera(sender, .sub), twin, frames: 30)
    compare(twin)
    #expect(twin.headers.first?.frameNumber == 0)
  }

  @Test("Lost, repeated, reordered and stalled frames, and garbage, are what they are")
  func faults() throws {
    var faults = CameraFaults()
    faults.lose = .init(frames: 2, every: 9)
    faults.repeat = .init(frames: 1, every: 8)
    faults.reorder = .init(frames: 1, every: 7)
    faults.garbage = .init(frames: 1, every: 11)
    faults.stall = (span: Seconds(0.2), after: Seconds(0.1))
    let twin = try TwinStream(faults)
    let sender = try sender(twin)
    defer { sender.close() }
    let events = try record(try camera(sender), twin, frames: 80)
    compare(twin)
    let refused = events.compactMap { if case .refusedFrame(let cause) = $0 { cause } else { nil } }
    #expect(refused.count >= 5)
    #expect(refused.allSatisfy { $0 == "a message that is neither array-1.0 nor of slsDetector" })
    var detector = GapDetector(series: 0)
    for header in twin.headers { _ = detector.observe(header) }
    let missing = detector.finish(triggered: nil, unusable: UInt64(refused.count)).reduce(0) { $0 + $1.frames }
    let last = try #require(twin.headers.map(\.frameNumber).max())
    #expect(detector.frames + missing >= last + 1)
    #expect(detector.repeatedFrames > 0 && detector.lateFrames > 0 && missing > 10)
  }

  @Test("A sender that ends its series says so, or begins to count anew", arguments: [true, false])
  func series(isDetector: Bool) throws {
    let twin = try TwinStream()
    let sender = try sender(twin) {
      $0.format = isDetector ? .slsDetector : .array
      $0.framesPerSeries = 60
    }
    defer { sender.close() }
    let events = try record(try camera(sender), twin, frames: 100, ends: 1)
    #expect(events.contains(.seriesStarted(series: 0)) && events.contains(.seriesStarted(series: 1)))
    let ends = events.compactMap { if case .seriesEnded(0, let triggered) = $0 { triggered } else { nil } }
    #expect(ends.first.map { $0 <= 60 && $0 > 30 } == true)
    compare(twin, ticks: isDetector ? 100 : 1)
  }

  @Test("A sender that goes and comes back is heard again")
  func reconnected() throws {
    var faults = CameraFaults()
    faults.breakOff = .init(frames: 1, every: 50)
    let twin = try TwinStream(faults)
    let sender = try sender(twin)
    defer { sender.close() }
    let events = try record(try camera(sender), twin, frames: 120)
    #expect(events.filter { if case .refusedFrame = $0 { true } else { false } }.isEmpty)
    let sent = Set(twin.sent.read { $0.map(\.pixelCRC) })
    #expect(twin.headers.allSatisfy { sent.contains($0.pixelCRC) })
    #expect(twin.checksumsHold)
    let numbers = twin.headers.map(\.frameNumber)
    #expect(numbers == numbers.sorted() && Set(numbers).count == numbers.count)
  }

  @Test("Bytes and shape must agree, and what is too large is refused")
  func sizes() throws {
    let directory = try TemporaryDirectory()
    let ring = try FrameRing.create(directory.path + "/ring", slots: 4, slotBytes: 4096)
    let push = try FakeSimplonSender()
    let camera = try CameraModels.make(CameraSettings(model: "array", url: push.url, maximumFrameBytes: 4096))
    try camera.start(request, into: ring)
    func send(_ shape: String, _ count: Int, frame: Int) {
      push.send([
        Array(#"{"htype":"array-1.0","type":"uint16","shape":\#(shape),"frame":\#(frame)}"#.utf8),
        [UInt8](repeating: 7, count: count),
      ])
    }
    send("[2,4]", 15, frame: 1)
    send("[100,100]", 20000, frame: 2)
    push.send(#"{"htype":"array-1.0","type":"uint16","shape":[2,4],"frame":3}"#)
    for frame in 4..<9 { send("[2,4]", 16, frame: frame) }
    var events: [CameraEvent] = []
    let end = MonotonicTime.now + Seconds(5)
    while events.count < 9, MonotonicTime.now < end {
      let event = try camera.next(into: ring, step: 0, atMost: Seconds(0.1))
      if event != .nothing { events.append(event) }
    }
    #expect(
      events == [
        .seriesStarted(series: 0), .refusedFrame(cause: "15 bytes of pixels where 4 × 2 needs 16"),
        .refusedFrame(cause: "an image of 100 × 100, larger than the ring's slots"),
        .refusedFrame(cause: "a header without its pixels"), .frame, .frame, .frame, .frame, .ringFull,
      ])
    try camera.stop()
    var over = CameraEvent.nothing
    while over == .nothing, MonotonicTime.now < end {
      over = try camera.next(into: ring, step: 0, atMost: Seconds(0.1))
    }
    #expect(over == .seriesEnded(series: 0, triggered: 8))
  }

  @Test("An address without its kind is refused")
  func address() {
    #expect(throws: CameraError.self) { try CameraModels.make(CameraSettings(model: "array", url: "detector:9999")) }
  }
}
