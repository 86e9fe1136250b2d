import FrameRing
import Linux
import Pixels
import Quantities
import Testing
import TwinBench

@testable import FrameIngest

@Suite("SIMPLON stream version 2")
struct SimplonCBORTests {
  private let directory: TemporaryDirectory
  private let ring: FrameRing
  private let sender: FakeSimplonSender

  init() throws {
    directory = try TemporaryDirectory()
    ring = try FrameRing.create(directory.path + "/ring", slots: 16, slotBytes: 65536)
    sender = try FakeSimplonSender()
  }

  private func open(channel: String? = nil) throws -> any Camera {
    let camera = try CameraModels.make(
      CameraSettings(model: "simplon2", url: sender.url, maximumFrameBytes: 65536, channel: channel))
    try camera.connect()
    try camera.start(ExposureRequest(series: 1, framePeriod: Seconds(1), exposure: Seconds(1)), into: ring)
    return camera
  }

  private func events(_ camera: any Camera, _ count: Int) throws -> [CameraEvent] {
    var all: [CameraEvent] = []
    while all.count < count {
      let event = try camera.next(into: ring, step: 4, atMost: Seconds(5))
      if case .clockPair = event { continue }
      all.append(event)
      if event == .nothing { return all }
    }
    return all
  }

  private func send(_ item: CBORItem) { sender.send([item.encoded]) }

  private func image(_ series: UInt64, _ number: UInt64, channel: String = "threshold_1") {
    send(.image(series, number, [(channel, Self.picture(FakeSimplonSender.pixels(number)))]))
  }

  private static func picture(_ pixels: [UInt16]) -> CBORItem { .picture(4, 2, type: 69, .bytes(littleEndian(pixels))) }

  private func pixels(_ sequence: UInt64) -> [UInt8]? { ring.read(sequence) { _, pixels in Array(pixels) } }
  private func header(_ sequence: UInt64) -> FrameHeader? { ring.read(sequence) { header, _ in header } }

  @Test("Vectors 6 and 7 of camera-streams.md: an image and the end of its series")
  func vectors() throws {
    let camera = try open()
    sender.send([
      bytes(
        hex: """
          a7 64 74797065 65 696d616765 69 7365726965735f6964 07 68 696d6167655f6964 00 6a 73746172745f74696d65 82 00
          1a02faf080 69 73746f705f74696d65 82 19c350 1a02faf080 69 7265616c5f74696d65 82 19c350 1a02faf080
          64 64617461 a1 6b 7468726573686f6c645f31 d828 82 82 02 03 d845 4c 000001000200030004 00ffff
          """)
    ])
    sender.send([
      bytes(
        hex:
          "a3 64 74797065 63 656e64 69 7365726965735f6964 07 70 7365726965735f756e697175655f6964 63 303148")
    ])
    #expect(
      try events(camera, 3) == [.seriesStarted(series: 7), .frame, .seriesEnded(series: 7, triggered: 1)])
    #expect(pixels(0) == littleEndian([0, 1, 2, 3, 4, 65535] as [UInt16]))
    let frame = try #require(header(0))
    #expect((frame.width, frame.height) == (3, 2))
    #expect(frame.pixelType == .u16)
    #expect(frame.flags == [])
    #expect(frame.deviceNanoseconds == 0)
    #expect(frame.exposureNanoseconds == 1_000_000)
  }

  @Test("A whole series tells of the detector, and its times are integers")
  func wholeSeries() throws {
    let camera = try open()
    send(.start(34))
    for number in 0..<3 as Range<UInt64> { image(34, number) }
    send(.end(34))
    #expect(
      try events(camera, 5) == [
        .seriesStarted(series: 34), .frame, .frame, .frame, .seriesEnded(series: 34, triggered: 3),
      ])
    #expect(camera.identity.model == "DECTRIS ARINA")
    #expect(camera.identity.serial == "E-02-0001")
    #expect(camera.identity.width == 4)
    #expect(camera.identity.height == 2)
    #expect(camera.identity.pixelType == .u16)
    #expect(!camera.canBeCommanded)
    let frame = try #require(header(1))
    #expect(frame.frameNumber == 1)
    #expect(frame.series == 34)
    #expect(frame.step == 4)
    #expect(frame.deviceNanoseconds == 5000)
    #expect(frame.exposureNanoseconds == 900)
    #expect(frame.pixelCRC == littleEndian(FakeSimplonSender.pixels(1)).withUnsafeBytes { crc32c($0) })
    #expect(ring.statisticsHold)
  }

  @Test("Every type of unsigned pixel in every encoding")
  func encodings() throws {
    let camera = try open()
    let narrow = (0..<64).map { UInt8($0 * 4 + 3) }
    let words = (0..<64).map { UInt16($0 * 1021 % 65536) }
    let wide = (0..<64).map { UInt32($0) &* 70_000_001 }
    func framedLZ4(_ bytes: [UInt8]) -> [UInt8] {
      let block = literalLZ4(bytes)
      return bigEndian(UInt64(bytes.count)) + bigEndian(UInt32(bytes.count)) + bigEndian(UInt32(block.count)) + block
    }
    let cases: [(type: UInt64, CBORItem, [UInt8], PixelType)] = [
      (64, .bytes(narrow), narrow, .u8), (68, .bytes(narrow), narrow, .u8),
      (64, .compressed("lz4", 1, framedLZ4(narrow)), narrow, .u8),
      (64, .compressed("bslz4", 1, framedBitShuffleLZ4(narrow, elementBytes: 1)), narrow, .u8),
      (69, .bytes(littleEndian(words)), littleEndian(words), .u16),
      (65, .bytes(words.flatMap { bigEndian($0) }), littleEndian(words), .u16),
      (69, .compressed("lz4", 7, framedLZ4(littleEndian(words))), littleEndian(words), .u16),
      (
        69, .compressed("bslz4", 2, framedBitShuffleLZ4(littleEndian(words), elementBytes: 2)), littleEndian(words),
        .u16
      ),
      (70, .bytes(littleEndian(wide)), littleEndian(wide), .u32),
      (66, .bytes(wide.flatMap { bigEndian($0) }), littleEndian(wide), .u32),
      (
        70, .compressed("bslz4", 4, framedBitShuffleLZ4(littleEndian(wide), elementBytes: 4)), littleEndian(wide), .u32
      ),
    ]
    for (number, one) in cases.enumerated() {
      send(.image(1, UInt64(number), [("threshold_1", .picture(16, 4, type: one.type, one.1))]))
    }
    #expect(try events(camera, 1) == [.seriesStarted(series: 1)])
    for (number, one) in cases.enumerated() {
      #expect(try events(camera, 1) == [.frame], "case \(number)")
      #expect(pixels(UInt64(number)) == one.2, "case \(number)")
      #expect(header(UInt64(number))?.pixelType == one.3, "case \(number)")
      #expect(header(UInt64(number))?.width == 16)
    }
  }

  @Test("Images that do not add up are refused with their cause, and the stream goes on")
  func refused() throws {
    let camera = try open()
    let good = littleEndian(FakeSimplonSender.pixels(0))
    let cases: [(CBORItem, String)] = [
      (.picture(4, 2, type: 69, .bytes(Array(good.dropLast()))), "15 bytes of pixels where the shape needs 16"),
      (.picture(4, 3, type: 69, .bytes(good)), "16 bytes of pixels where the shape needs 24"),
      (.picture(0, 2, type: 69, .bytes([])), "an image without a usable shape"),
      (.picture(1 << 40, 2, type: 69, .bytes(good)), "an image without a usable shape"),
      (.picture(40000, 40000, type: 69, .bytes(good)), "an image of 40000 × 40000, larger than the ring's slots"),
      (.picture(4, 2, type: 85, .bytes(good)), "images of floating-point pixels cannot be recorded"),
      (.picture(4, 2, type: 77, .bytes(good)), "images of signed pixels cannot be recorded"),
      (.picture(2, 1, type: 71, .bytes(good)), "images of 64-bit pixels cannot be recorded"),
      (.picture(4, 2, type: 99, .bytes(good)), "pixels of the unknown type 99"),
      (.picture(4, 2, type: 69, .tag(56501, .bytes(good))), "pixels behind the unknown tag 56501"),
      (.picture(4, 2, type: 69, .compressed("zstd", 2, good)), "unknown compression “zstd”"),
      (
        .picture(4, 2, type: 69, .compressed("bslz4", 4, good)), "a bit shuffle of 4-byte elements of 2-byte pixels"
      ),
      (.picture(4, 2, type: 69, .compressed("lz4", 2, [1, 2])), "compressed data shorter than its own header"),
      (
        .tag(1040, .array([.array([.unsigned(2), .unsigned(4)]), .tag(69, .bytes(good))])),
        "an image that is written column by column"
      ),
      (.bytes(good), "CBOR with another item where a tag belongs"),
      (
        .picture(4, 2, type: 69, .raw([0x5F, 0x48] + good[..<8] + [0x48] + good[8...] + [0xFF])),
        "CBOR with a byte string in pieces"
      ),
    ]
    for (number, one) in cases.enumerated() { send(.image(1, UInt64(number), [("threshold_1", one.0)])) }
    send(.image(1, 90, []))
    image(1, 91)
    var wanted: [CameraEvent] = [.seriesStarted(series: 1)]
    wanted += cases.map { .refusedFrame(cause: $0.1) }
    wanted += [.refusedFrame(cause: "an image without data"), .frame]
    #expect(try events(camera, wanted.count) == wanted)
    #expect(header(0)?.unusableBefore == UInt64(cases.count) + 1)
  }

  @Test("Messages that are not of the stream are refused, and say what to do about another version")
  func garbage() throws {
    let camera = try open()
    let whole = CBORItem.image(1, 0, [("threshold_1", Self.picture(FakeSimplonSender.pixels(0)))]).encoded
    let deep = [UInt8](repeating: 0x81, count: 40) + [0]
    let cases: [([[UInt8]], String)] = [
      ([[]], "CBOR that ends too early"), ([[0x01]], "CBOR with another item where a map belongs"),
      ([[0xA1, 0x61, 0x61, 0x01]], "a CBOR map that does not begin with its type"),
      ([Array(whole.dropLast())], "CBOR that ends too early"), ([whole + [0]], "bytes behind the CBOR map"),
      ([whole, [1]], "a message of several parts, which stream version 2 has not"),
      ([[0xBB] + [UInt8](repeating: 0xFF, count: 8)], "CBOR that ends too early"),
      ([[0xBC]], "CBOR with a byte that begins no item"),
      (
        [CBORItem.map([("type", .text("image")), ("x", .raw(deep))]).encoded], "CBOR nested more than 16 deep"
      ),
      (
        [CBORItem.map([("type", .text("image")), ("image_id", .unsigned(1))]).encoded],
        "an image without a usable series or frame number"
      ),
      ([CBORItem.map([("type", .text("start"))]).encoded], "a series header without a number"),
      ([CBORItem.map([("type", .text("end"))]).encoded], "a series end without a number"),
      (
        [Array(#"{"htype":"dheader-1.0","series":1}"#.utf8)],
        "a message of stream version 1; write `model: simplon`, or set the detector's stream format to cbor"
      ),
    ]
    for one in cases { sender.send(one.0) }
    #expect(try events(camera, cases.count) == cases.map { .refusedFrame(cause: $0.1) })
    send(.map([("type", .text("news")), ("x", .unsigned(1))]))
    image(1, 0)
    #expect(
      try events(camera, 3) == [
        .ignored(cause: "a message of an unknown type"), .seriesStarted(series: 1), .frame,
      ])
  }

  @Test("Version 1 says so when the detector sends version 2")
  func otherVersion() throws {
    let camera = try CameraModels.make(CameraSettings(model: "simplon", url: sender.url))
    try camera.start(ExposureRequest(series: 1, framePeriod: Seconds(1), exposure: Seconds(1)), into: ring)
    send(.start(1))
    #expect(
      try events(camera, 1) == [
        .refusedFrame(
          cause:
            "a message of stream version 2; write `model: simplon2`, or set the detector's stream format to legacy")
      ])
  }

  @Test("Maps of indefinite length and pieces of strings that are passed over are legal")
  func indefinite() throws {
    let camera = try open()
    var message: [UInt8] = [0xBF]
    for (key, item) in [
      ("type", CBORItem.text("image")), ("series_id", .unsigned(1)), ("image_id", .unsigned(0)),
      ("user_data", .raw([0x7F, 0x61, 0x61, 0x60, 0xFF])), ("more", .raw([0x9F, 0x01, 0xF6, 0xF9, 0, 0, 0xFF])),
      ("data", .raw([0xBF] + CBORItem.text("a").encoded + Self.picture(FakeSimplonSender.pixels(0)).encoded + [0xFF])),
    ] { message += CBORItem.text(key).encoded + item.encoded }
    sender.send([message + [0xFF]])
    #expect(try events(camera, 2) == [.seriesStarted(series: 1), .frame])
    #expect(pixels(0) == littleEndian(FakeSimplonSender.pixels(0)))
    #expect(header(0)?.flags == .noDeviceTime)
  }

  @Test(
    "Times that no clock reads leave the frame without a time",
    arguments: [
      CBORItem.rational(1, 0), .rational(.max, 1), .rational(.max, 3), .unsigned(1), .raw([0xF6]),
      .array([.unsigned(1), .text("x")]), .array([.unsigned(1)]),
    ])
  func impossibleTimes(time: CBORItem) throws {
    let camera = try open()
    send(.image(1, 0, [("a", Self.picture(FakeSimplonSender.pixels(0)))], start: time))
    #expect(try events(camera, 2) == [.seriesStarted(series: 1), .frame])
    #expect(header(0)?.flags == .noDeviceTime)
    #expect(header(0)?.deviceNanoseconds == 0)
  }

  @Test("Times are exact at any time base and late in a long series")
  func longTimes() throws {
    let camera = try open()
    // 10⁷ s at 20 ns, and a third of a nanosecond less than a second.
    send(
      .image(
        1, 0, [("a", Self.picture(FakeSimplonSender.pixels(0)))], start: .rational(500_000_000_000_001, 50_000_000),
        stop: .rational(500_000_000_000_002, 50_000_000), real: .rational(2_999_999_999, 3_000_000_000)))
    #expect(try events(camera, 2) == [.seriesStarted(series: 1), .frame])
    #expect(header(0)?.deviceNanoseconds == 10_000_000_000_000_020)
    #expect(header(0)?.exposureNanoseconds == 999_999_999)
  }

  @Test("Of several channels the first is recorded, the others are counted and said once")
  func channels() throws {
    let camera = try open()
    let (low, high) = (FakeSimplonSender.pixels(5), FakeSimplonSender.pixels(900))
    send(.start(1, channels: ["threshold_2", "threshold_1"]))
    for number in 0..<3 as Range<UInt64> {
      // The order of the start message counts; another width of the other channel does not matter.
      send(
        .image(
          1, number,
          [("threshold_1", .picture(8, 2, type: 64, .bytes(littleEndian(low)))), ("threshold_2", Self.picture(high))]))
    }
    send(.end(1))
    #expect(
      try events(camera, 7) == [
        .seriesStarted(series: 1),
        .ignored(
          cause: "images of other channels than “threshold_2”; `camera.channel` says which is recorded"),
        .frame, .frame, .frame, .ignored(cause: "3 images of other channels"),
        .seriesEnded(series: 1, triggered: 3),
      ])
    #expect(pixels(2) == littleEndian(high))
  }

  @Test("The channel of the configuration is recorded, and an image without it is refused")
  func configuredChannel() throws {
    let camera = try open(channel: "threshold_2")
    image(1, 0, channel: "threshold_2")
    image(1, 1, channel: "threshold_1")
    #expect(
      try events(camera, 4) == [
        .seriesStarted(series: 1), .frame,
        .ignored(cause: "images of other channels than “none”; `camera.channel` says which is recorded"),
        .refusedFrame(cause: "an image without the channel “threshold_2”; set `camera.channel` right"),
      ])
    send(.image(1, 2, [("threshold_2", Self.picture([1])), ("threshold_2", Self.picture([2]))]))
    #expect(try events(camera, 1) == [.refusedFrame(cause: "an image with the same channel twice")])
  }

  @Test("Settings that cannot be used say what to write")
  func settings() throws {
    func problem(_ settings: CameraSettings) -> String? {
      do throws(CameraError) {
        _ = try CameraModels.make(settings)
        return nil
      } catch { return error.description }
    }
    #expect(
      problem(CameraSettings(model: "simplon2", url: "detector"))
        == "camera: `url: detector` is not an address; write for example tcp://detector:31001")
    #expect(problem(CameraSettings(model: "simplon", url: "tcp://a:1", channel: "x"))?.contains("take it out") == true)
    #expect(
      problem(CameraSettings(model: "simplon2", url: "tcp://a:1", control: "detector:80"))
        == "camera: `control: detector:80` is not the address of a detector; write for example http://detector")
  }

  @Test("Damaged messages are refused or give exactly the picture's bytes, whatever is damaged")
  func mutations() throws {
    let words = (0..<64).map { UInt16($0 * 1021 % 65536) }
    let shuffled = CBORItem.compressed("bslz4", 2, framedBitShuffleLZ4(littleEndian(words), elementBytes: 2))
    let corpus: [[UInt8]] = [
      CBORItem.start(7).encoded, CBORItem.end(7).encoded,
      CBORItem.image(7, 1, [("threshold_1", .picture(16, 4, type: 69, .bytes(littleEndian(words))))]).encoded,
      CBORItem.image(
        7, 1, [("threshold_1", .picture(16, 4, type: 69, shuffled)), ("b", .picture(16, 4, type: 69, shuffled))]
      ).encoded,
    ]
    var decoder = SimplonPixels()
    let meter = PixelMeter(largestFrameBytes: 4096)
    let room = AlignedBuffer(count: 4096)
    var decoded = 0
    var failed = 0
    Mutations("SIMPLON CBOR", 20_000, of: corpus).forEach { message, _ in
      message.withUnsafeBytes { bytes in
        do throws(DecodeError) {
          var reader = CBORReader(bytes)
          var entries = try reader.map()
          guard try reader.more(&entries) else { return }
          _ = try reader.text()
          let type = try reader.text()
          if reader.text(type, is: "start") { _ = try SimplonStart(&reader, &entries) }
          if reader.text(type, is: "end") { _ = try SimplonEnd(&reader, &entries) }
          guard reader.text(type, is: "image") else { return }
          let image = try SimplonImage(&reader, &entries, channel: nil)
          guard let description = image.description, description.wireBytes <= room.bytes.count else { return }
          try decoder.decode(
            UnsafeRawBufferPointer(rebasing: bytes[image.pixels]), description,
            into: UnsafeMutableRawBufferPointer(rebasing: room.bytes[..<description.wireBytes]), by: meter)
          _ = meter.finish()
          decoded += 1
        } catch {
          failed += 1
        }
      }
    }
    #expect(decoded > 100)
    #expect(failed > 100)
  }
}
