import JSON
import Pixels

/// The JSON part before the pixels, of PSI's `array-1.0` or of slsDetectorPackage (camera-streams.md §7).
enum ArrayHeader: Equatable {
  case image(ArrayImage)
  /// slsDetector: `data: 0`, the acquisition is over.
  case end
  /// A message for somebody else.
  case other

  init(_ json: JSONValue) throws(DecodeError) {
    if json["jsonversion"] != nil {
      let hasData = json["data"]?.integer.map { $0 != 0 } ?? json["data"]?.bool ?? true
      self = hasData ? .image(try ArrayImage(slsDetector: json)) : .end
      return
    }
    // ADZMQ to 1.3 writes it as a list of one, and the sides in the order x, y.
    let type = json["htype"]?.string ?? json["htype"]?.array?.first?.string
    guard let type else { throw DecodeError("a message that is neither array-1.0 nor of slsDetector") }
    guard type.hasPrefix("array-1.") else {
      self = .other
      return
    }
    self = .image(try ArrayImage(array: json, isColumnFirst: json["htype"]?.array != nil))
  }
}

/// How one image is written, and which it is.
struct ArrayImage: Equatable {
  /// As the sender counts.
  var number: UInt64
  /// The sender counts from 0 in each acquisition.
  var countsFromZero: Bool
  var width: Int
  var height: Int
  var pixelType: PixelType
  var isBigEndian: Bool
  var deviceNanoseconds: Int64?
  var exposureNanoseconds: Int64
  /// Why it is not recorded although it could be decoded.
  var fault: String?

  var bytes: Int { width * height * pixelType.bytesPerPixel }

  private static let sides: ClosedRange<Int64> = 1...65535

  /// `array-1.0`; a missing byte order is little-endian, a missing encoding none.
  fileprivate init(array json: JSONValue, isColumnFirst: Bool) throws(DecodeError) {
    guard let frame = json["frame"]?.integer.flatMap({ UInt64(exactly: $0) }), frame < mostFrameNumber else {
      throw DecodeError("an array without a usable frame number")
    }
    switch json["type"]?.string {
    case "uint8": pixelType = .u8
    case "uint16": pixelType = .u16
    case "uint32": pixelType = .u32
    case let type: throw DecodeError("arrays of type \(type?.prefix(40) ?? "none") cannot be recorded")
    }
    (width, height) = try Self.sides(json["shape"], isColumnFirst: isColumnFirst)
    // The misspelling is older than the word.
    switch json["endianess"]?.string ?? json["endianness"]?.string ?? "little" {
    case "little": isBigEndian = false
    case "big": isBigEndian = true
    case let order: throw DecodeError("an unknown byte order “\(order.prefix(40))”")
    }
    let encoding = json["encoding"]?.string ?? ""
    guard encoding.isEmpty || encoding == "none" else {
      throw DecodeError("pixels encoded as “\(encoding.prefix(40))”; let the sender send them as they are")
    }
    number = frame
    countsFromZero = false
    deviceNanoseconds = Self.time(json["timestamp"])
    exposureNanoseconds = 0
  }

  /// slsDetectorPackage; little-endian.
  fileprivate init(slsDetector json: JSONValue) throws(DecodeError) {
    guard let frame = json["frameIndex"]?.integer.flatMap({ UInt64(exactly: $0) }), frame < mostFrameNumber else {
      throw DecodeError("an slsDetector image without a usable frameIndex")
    }
    switch json["bitmode"]?.integer {
    case 8: pixelType = .u8
    case 16: pixelType = .u16
    case 32: pixelType = .u32
    case let bits:
      throw DecodeError("pixels of \(bits.map(String.init) ?? "unknown") bit; set `dr` to 8, 16 or 32")
    }
    (width, height) = try Self.sides(json["shape"], isColumnFirst: true)
    number = frame
    countsFromZero = true
    isBigEndian = false
    // Ticks of 100 ns; 0 where the detector has no such counter.
    let ticks = json["timestamp"]?.integer ?? 0
    deviceNanoseconds = ticks > 0 ? Self.hundredfold(ticks) : nil
    // With 32 bit it may be the number of a sub-frame.
    exposureNanoseconds = pixelType == .u32 ? 0 : Self.hundredfold(json["expLength"]?.integer ?? 0) ?? 0
    if let whole = json["completeImage"]?.integer ?? json["completeImage"]?.bool.map({ $0 ? 1 : 0 }), whole == 0 {
      fault = "an image of which packets were lost between detector and receiver"
    }
  }

  /// Width and height; further dimensions may only be 1.
  private static func sides(_ shape: JSONValue?, isColumnFirst: Bool) throws(DecodeError) -> (Int, Int) {
    var all = shape?.array?.map { $0.integer ?? 0 } ?? []
    if !isColumnFirst { all.reverse() }
    guard all.count >= 2, sides.contains(all[0]), sides.contains(all[1]), all[2...].allSatisfy({ $0 == 1 }) else {
      throw DecodeError("an array without a usable shape")
    }
    return (Int(all[0]), Int(all[1]))
  }

  private static func hundredfold(_ ticks: Int64) -> Int64? {
    let (product, overflow) = ticks.multipliedReportingOverflow(by: 100)
    return overflow || !Stamps.plausible.contains(product) ? nil : product
  }

  /// Its form is not laid down: seconds since 1970 as a number, seconds and nanoseconds as a pair, or nanoseconds.
  private static func time(_ value: JSONValue?) -> Int64? {
    if let pair = value?.array, pair.count == 2, let seconds = pair[0].integer, let rest = pair[1].integer,
      (0..<1_000_000_000).contains(rest), (0..<(1 << 31)).contains(seconds)
    {
      return seconds * 1_000_000_000 + rest
    }
    // Larger than any count of seconds, and taken as it is.
    if let nanoseconds = value?.integer, nanoseconds >= 1 << 40, Stamps.plausible.contains(nanoseconds) {
      return nanoseconds
    }
    guard let seconds = value?.double, seconds > 0, seconds < Double(1 << 31) else { return nil }
    return Int64(seconds * 1e9)
  }
}

/// Gives frames of a sender that only counts a series and a number in it. A value; nothing is allocated.
///
/// A count that begins anew is another series: one that goes back by more than stragglers do, or at all after a pause,
/// or that leaps ahead. Numbers count from the first frame of the series, or from 0 where the sender does.
struct ArraySeriesNumbers {
  /// Frames of several sending threads may overtake each other by so many.
  static let reordering: UInt64 = 32
  static let pause: Int64 = 2_000_000_000
  static let leap: UInt64 = 1 << 24

  private var series: UInt64 = 0
  private var base: UInt64?
  private var highest: UInt64 = 0
  private var last: Int64 = 0

  /// What comes next is another series.
  mutating func beginSeries() {
    if base != nil { series += 1 }
    base = nil
  }

  /// - Parameter now: ns of the host's clock.
  /// - Returns: nil for the frame's number when it is from before the first of its series.
  mutating func place(_ image: ArrayImage, at now: Int64) -> (series: UInt64, frame: UInt64?) {
    if base != nil {
      let isBack = image.number < highest && (image.number + Self.reordering < highest || now - last > Self.pause)
      if isBack || image.number > highest + Self.leap { beginSeries() }
    }
    last = now
    guard let base else {
      base = image.countsFromZero ? 0 : image.number
      highest = image.number
      return (series, image.number - (image.countsFromZero ? 0 : image.number))
    }
    highest = max(highest, image.number)
    return (series, image.number >= base ? image.number - base : nil)
  }
}
