import JSON
import Pixels

/// How the pixels of an image of the SIMPLON stream are written.
struct SimplonImageDescription: Equatable {
  enum Compression: Equatable {
    case none
    /// One LZ4 block without the framing of §1.2: stream v1.
    case bareLZ4
    /// LZ4 in the framing of §1.2: stream v2.
    case framedLZ4
    case bitShuffledLZ4
  }

  var width: Int
  var height: Int
  /// As it is on the wire.
  var pixelType: PixelType
  var compression: Compression
  var isBigEndian: Bool

  /// Bytes of the image when decompressed.
  var wireBytes: Int { width * height * pixelType.bytesPerPixel }

  /// Pixels; no larger image is believed.
  static let sides: ClosedRange<Int64> = 1...65535
}

extension SimplonImageDescription {
  /// Reads the part `dimage_d-1.0` (camera-streams.md §2).
  init(_ part: JSONValue) throws(DecodeError) {
    guard part["htype"]?.string == "dimage_d-1.0" else { throw DecodeError("an image without dimage_d-1.0") }
    // The order is width, height; further dimensions may only be 1.
    guard let shape = part["shape"]?.array?.map({ $0.integer ?? 0 }), shape.count >= 2,
      Self.sides.contains(shape[0]), Self.sides.contains(shape[1]),
      shape[2...].allSatisfy({ $0 == 1 })
    else { throw DecodeError("an image without a usable shape") }
    let type = part["type"]?.string
    guard let pixelType = PixelType(simplonName: type) else {
      throw DecodeError("images of type \(type?.prefix(40) ?? "none") cannot be recorded")
    }
    let encoding = part["encoding"]?.string ?? ""
    let (compression, isBigEndian) = try Self.parse(encoding, bits: pixelType.bytesPerPixel * 8)
    self.init(
      width: Int(shape[0]), height: Int(shape[1]), pixelType: pixelType, compression: compression,
      isBigEndian: isBigEndian)
  }

  /// "<", ">", "lz4<", "bs16-lz4<" …
  private static func parse(_ encoding: String, bits: Int) throws(DecodeError) -> (Compression, Bool) {
    let isBigEndian: Bool
    switch encoding.last {
    case "<": isBigEndian = false
    case ">": isBigEndian = true
    default: throw DecodeError("unknown encoding “\(encoding.prefix(40))”")
    }
    switch encoding.dropLast() {
    case "": return (.none, isBigEndian)
    case "lz4": return (.bareLZ4, isBigEndian)
    case "bs\(bits)-lz4": return (.bitShuffledLZ4, isBigEndian)
    default: throw DecodeError("unknown encoding “\(encoding.prefix(40))” of \(bits)-bit pixels")
    }
  }
}

extension PixelType {
  /// "uint8", "uint16" or "uint32".
  init?(simplonName: String?) {
    switch simplonName {
    case "uint8": self = .u8
    case "uint16": self = .u16
    case "uint32": self = .u32
    default: return nil
    }
  }
}

/// When an image was exposed, ns since the detector's own zero of this series.
struct SimplonTimes: Equatable {
  var start: Int64?
  var stop: Int64?
  var real: Int64?

  init() {}

  /// Reads the part `dconfig-1.0`.
  init?(_ part: JSONValue) {
    guard part["htype"]?.string == "dconfig-1.0" else { return nil }
    self.init(
      start: part["start_time"]?.integer, stop: part["stop_time"]?.integer, real: part["real_time"]?.integer)
  }

  init(start: Int64?, stop: Int64?, real: Int64?) {
    self.start = start
    self.stop = stop
    self.real = real
    // One that cannot be makes the others doubtful: then the image has no device time.
    let isPlausible = [start, stop, real].allSatisfy { $0.map(Stamps.plausible.contains) ?? true }
    if !isPlausible || (start ?? 0) > (stop ?? .max) { self = SimplonTimes() }
  }

  var exposure: Int64 {
    if let real { return real }
    if let start, let stop { return stop - start }
    return 0
  }

  var end: Int64? { stop ?? start.map { $0 + exposure } }
}

/// What the detector's configuration, sent at the beginning of a series, says to us.
struct SimplonConfiguration: Equatable {
  /// Frames that the series will have, when it runs to its end.
  var expectedFrames: UInt64?
  var model: String?
  var serial: String?
  var width: Int?
  var height: Int?
  var pixelType: PixelType?

  init() {}
}

extension SimplonConfiguration {
  /// Reads the detector configuration that goes with `dheader-1.0` (camera-streams.md §2).
  init(_ part: JSONValue) {
    func count(_ key: String) -> UInt64? { part[key]?.integer.flatMap { UInt64(exactly: $0) } }
    switch part["trigger_mode"]?.string {
    case "exts", "ints":
      if let images = count("nimages"), let triggers = count("ntrigger") {
        let (product, overflow) = images.multipliedReportingOverflow(by: triggers)
        expectedFrames = overflow || product >= mostFrameNumber ? nil : product
      }
    case "exte", "inte":
      expectedFrames = count("ntrigger").flatMap { $0 < mostFrameNumber ? $0 : nil }
    default: break
    }
    model = part["description"]?.string
    serial = part["detector_number"]?.string
    width = part["x_pixels_in_detector"]?.integer.flatMap { Int(exactly: $0) }
    height = part["y_pixels_in_detector"]?.integer.flatMap { Int(exactly: $0) }
    pixelType = part["bit_depth_image"]?.integer.flatMap { PixelType(simplonName: "uint\($0)") }
  }
}
