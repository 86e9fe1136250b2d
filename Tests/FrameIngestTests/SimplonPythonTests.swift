import Glibc
import JSON
import Linux
import NanobatteryTwin
import Pixels
import Testing

/// Names a python that has the packages of Tests/requirements.txt.
private let python = getenv("INSITUD_PYTHON").map { String(cString: $0) }

@Suite(
  "SIMPLON messages and other people's decoders",
  .enabled(if: python != nil, "INSITUD_PYTHON names no python with cbor2 and dectris-compression"))
struct SimplonPythonTests {
  @Test("What the twin sends is what cbor2 and DECTRIS' decompression read", arguments: [PixelType.u8, .u16, .u32])
  func version2(type: PixelType) throws {
    let directory = try TemporaryDirectory()
    // 37 · 29 pixels: blocks that are not full, and pixels that fill no bit-shuffle group.
    let (width, height) = (37, 29)
    let pixels = (0..<width * height).map { UInt16(truncatingIfNeeded: $0 &* $0 &* 7 >> 3) & 0x3FF }
    var wires: [SimplonWire] = []
    for compression in SimplonWire.Compression.allCases {
      var wire = SimplonWire(.cbor)
      wire.compression = compression
      wire.pixelType = type
      wire.channels = ["threshold_1", "threshold_2"]
      let image = wire.image(
        9, UInt64(wires.count), pixels, width: width, height: height, start_ns: 3_000_000_020, exposure_ns: 2_500_000)
      try FileSystem.replace("\(directory.path)/\(wires.count).cbor", with: image[0])
      wires.append(wire)
    }
    let series = SimplonWire.Series(
      number: 9, images: 3, period_ns: 3_000_000, exposure_ns: 2_500_000, width: width, height: height)
    try FileSystem.replace("\(directory.path)/3.cbor", with: wires[0].start(series)[0])
    try FileSystem.replace("\(directory.path)/4.cbor", with: wires[0].end(9)[0])

    let script = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
    let pipe = try #require(popen("\(python!) \(script)/decode_simplon.py \(directory.path)", "r"))
    var said: [JSONValue] = []
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, 4096, pipe) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      said.append(try JSONValue(parsing: text))
    }
    #expect(pclose(pipe) == 0)
    try #require(said.count == 5)
    for (number, wire) in wires.enumerated() {
      #expect(
        said[number] == [
          "type": "image", "series": 9, "image": .integer(Int64(number)), "start_time": 3_000_000_020,
          "stop_time": 3_002_500_020, "real_time": 2_500_000, "shape": [29, 37],
        ])
      #expect(try FileSystem.read("\(directory.path)/\(number).threshold_1.raw") == wire.raw(pixels))
      #expect(try FileSystem.read("\(directory.path)/\(number).threshold_2.raw") == wire.raw(pixels.map { $0 >> 1 }))
    }
    #expect(said[3] == ["type": "start", "series": 9])
    #expect(said[4] == ["type": "end", "series": 9])
  }
}
