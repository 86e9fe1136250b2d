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
}

extension SimplonImageDescription {
  /// Reads the part `dimage_d-1.0` (camera-streams.md §2) where it lies.
  init(part: UnsafeRawBufferPointer) throws(DecodeError) {
    var (shape, type, encoding): (JSONScanner?, JSONText?, JSONText?) = (nil, nil, nil)
    let isThere = unsafe readPart(part, "dimage_d-1.0") { key, value in
      if key.is("shape") {
        shape = value.elements
      } else if key.is("type") {
        type = value.text
      } else if key.is("encoding") {
        encoding = value.text
      }
    }
    guard isThere else { throw DecodeError("an image without dimage_d-1.0") }
    // The order is width, height.
    guard let sides = shape.flatMap({ ImageSides($0, isColumnFirst: true) }) else {
      throw DecodeError("an image without a usable shape")
    }
    guard let pixelType = type.flatMap(PixelType.init(named:)) else {
      throw DecodeError("images of type \(type?.string.prefix(40) ?? "none") cannot be recorded")
    }
    let (compression, isBigEndian) = try Self.parse(encoding, pixelType)
    self.init(
      width: sides.width, height: sides.height, pixelType: pixelType, compression: compression, isBigEndian: isBigEndian
    )
  }

  /// "<", ">", "lz4<", "bs16-lz4<" …
  private static func parse(
    _ encoding: JSONText?, _ pixelType: PixelType
  ) throws(DecodeError) -> (Compression, isBigEndian: Bool) {
    let shuffled: (little: StaticString, big: StaticString) =
      switch pixelType {
      case .u8: ("bs8-lz4<", "bs8-lz4>")
      case .u16: ("bs16-lz4<", "bs16-lz4>")
      case .u32: ("bs32-lz4<", "bs32-lz4>")
      }
    if let encoding {
      if encoding.is(shuffled.little) { return (.bitShuffledLZ4, false) }
      if encoding.is("<") { return (.none, false) }
      if encoding.is("lz4<") { return (.bareLZ4, false) }
      if encoding.is(shuffled.big) { return (.bitShuffledLZ4, true) }
      if encoding.is(">") { return (.none, true) }
      if encoding.is("lz4>") { return (.bareLZ4, true) }
    }
    let text = encoding?.string ?? ""
    let isOrdered = text.hasSuffix("<") || text.hasSuffix(">")
    throw DecodeError(
      "unknown encoding “\(text.prefix(40))”\(isOrdered ? " of \(pixelType.bytesPerPixel * 8)-bit pixels" : "")")
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

/// Gives the members of a part of stream version 1, where they lie; false when it is no JSON object of this `htype`.
private func readPart(
  _ part: UnsafeRawBufferPointer, _ htype: StaticString, _ body: (JSONText, JSONScanner.Value) -> Void
) -> Bool {
  guard var scanner = JSONScanner(object: part) else { return false }
  var isOfType = false
  do throws(JSONError) {
    while let key = try scanner.nextMember() {
      let value = try scanner.value()
      if key.is("htype") { isOfType = value.text?.is(htype) == true } else { body(key, value) }
    }
  } catch { return false }
  return isOfType && scanner.isAtEnd
}

/// The first part of a message of stream version 1: what it is, and of which series.
struct SimplonHead {
  enum Kind {
    case image, header, end
    /// A flat field, a mask of pixels or a table of corrections.
    case field
    /// An `htype` that is not known.
    case unknown
    /// Without an `htype`.
    case unnamed
  }

  private(set) var kind = Kind.unnamed
  private(set) var series: UInt64?
  private(set) var frame: UInt64?
  /// No configuration follows the header.
  private(set) var hasNoDetail = false

  /// nil: no JSON object.
  init?(part: UnsafeRawBufferPointer) {
    guard var scanner = JSONScanner(object: part) else { return nil }
    do throws(JSONError) {
      while let key = try scanner.nextMember() {
        let value = try scanner.value()
        if key.is("htype") {
          kind = value.text.map { Self.kind($0) } ?? .unnamed
        } else if key.is("series") {
          series = value.unsigned
        } else if key.is("frame") {
          frame = value.unsigned
        } else if key.is("header_detail") {
          hasNoDetail = value.text?.is("none") == true
        }
      }
    } catch { return nil }
    guard scanner.isAtEnd else { return nil }
  }

  private static func kind(_ htype: JSONText) -> Kind {
    if htype.is("dimage-1.0") { return .image }
    if htype.is("dheader-1.0") { return .header }
    if htype.is("dseries_end-1.0") { return .end }
    if htype.is("dflatfield-1.0") || htype.is("dpixelmask-1.0") || htype.is("dcountrate_table-1.0") { return .field }
    return .unknown
  }
}

/// When an image was exposed, ns since the detector's own zero of this series.
struct SimplonTimes: Equatable {
  var start: Int64?
  var stop: Int64?
  var real: Int64?

  init() {}

  /// Reads the part `dconfig-1.0` where it lies; nil when it is another.
  init?(part: UnsafeRawBufferPointer) {
    var (start, stop, real): (Int64?, Int64?, Int64?) = (nil, nil, nil)
    let isThere = unsafe readPart(part, "dconfig-1.0") { key, value in
      if key.is("start_time") {
        start = value.integer
      } else if key.is("stop_time") {
        stop = value.integer
      } else if key.is("real_time") {
        real = value.integer
      }
    }
    guard isThere else { return nil }
    self.init(start: start, stop: stop, real: real)
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
