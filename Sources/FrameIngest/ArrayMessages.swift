import JSON
import Pixels

/// The JSON part before the pixels, of PSI's `array-1.0` or of slsDetectorPackage (camera-streams.md §7).
enum ArrayHeader: Equatable {
  case image(ArrayImage)
  /// slsDetector: `data: 0`, the acquisition is over.
  case end
  /// A message for somebody else.
  case other

  /// - Parameter bytes: the part; copied nowhere, and nothing is allocated for a header that is good.
  init(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) {
    guard let members = unsafe ArrayMembers(bytes) else { throw Self.unknown }
    if members.isSLS {
      let hasData = members.data?.integer.map { $0 != 0 } ?? members.data?.bool ?? true
      self = hasData ? .image(try ArrayImage(slsDetector: members)) : .end
      return
    }
    guard let type = members.type else { throw Self.unknown }
    guard type.hasPrefix("array-1.") else {
      self = .other
      return
    }
    self = .image(try ArrayImage(array: members))
  }

  private static let unknown = DecodeError("a message that is neither array-1.0 nor of slsDetector")
}

/// The members of a header that are known, where they lie in the message.
private struct ArrayMembers {
  /// slsDetectorPackage writes `jsonversion`.
  var isSLS = false
  var type: JSONText?
  /// ADZMQ to 1.3 writes the type as a list of one, and the sides in the order x, y.
  var isColumnFirst = false
  var data, frame, frameIndex, pixelType, shape, endianess, endianness, encoding, timestamp: JSONScanner.Value?
  var bitmode, expLength, completeImage: JSONScanner.Value?

  /// nil: not a JSON object.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard var scanner = JSONScanner(object: bytes) else { return nil }
    do throws(JSONError) {
      while let key = try scanner.nextMember() { take(key, try scanner.value()) }
    } catch { return nil }
    guard scanner.isAtEnd else { return nil }
  }

  private mutating func take(_ key: JSONText, _ value: JSONScanner.Value) {
    if key.is("htype") {
      takeType(value)
    } else if key.is("jsonversion") {
      isSLS = true
    } else if key.is("frame") {
      frame = value
    } else if key.is("type") {
      pixelType = value
    } else if key.is("shape") {
      shape = value
    } else if key.is("timestamp") {
      timestamp = value
    } else if key.is("encoding") {
      encoding = value
    } else if key.is("endianess") {
      endianess = value
    } else if key.is("endianness") {
      endianness = value
    } else if key.is("data") {
      data = value
    } else if key.is("frameIndex") {
      frameIndex = value
    } else if key.is("bitmode") {
      bitmode = value
    } else if key.is("expLength") {
      expLength = value
    } else if key.is("completeImage") {
      completeImage = value
    }
  }

  private mutating func takeType(_ value: JSONScanner.Value) {
    type = value.text
    guard var elements = value.elements else { return }
    isColumnFirst = true
    // It has been read: it is JSON.
    type = (try? elements.nextElement())?.text
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

  /// `array-1.0`; a missing byte order is little-endian, a missing encoding none.
  fileprivate init(array members: ArrayMembers) throws(DecodeError) {
    guard let frame = members.frame?.unsigned, frame < mostFrameNumber else {
      throw DecodeError("an array without a usable frame number")
    }
    guard let pixelType = members.pixelType?.text.flatMap(PixelType.init(named:)) else {
      let type = members.pixelType?.text?.string
      throw DecodeError("arrays of type \(type?.prefix(40) ?? "none") cannot be recorded")
    }
    self.pixelType = pixelType
    (width, height) = try Self.sides(members.shape, isColumnFirst: members.isColumnFirst)
    // The misspelling is older than the word.
    isBigEndian =
      try (members.endianess?.text ?? members.endianness?.text)
      .map { order throws(DecodeError) in try Self.isBigEndian(order) } ?? false
    if let encoding = members.encoding?.text, !encoding.isEmpty, !encoding.is("none") {
      throw DecodeError("pixels encoded as “\(encoding.string.prefix(40))”; let the sender send them as they are")
    }
    number = frame
    countsFromZero = false
    deviceNanoseconds = Self.time(members.timestamp)
    exposureNanoseconds = 0
  }

  private static func isBigEndian(_ order: JSONText) throws(DecodeError) -> Bool {
    if order.is("little") { return false }
    guard order.is("big") else { throw DecodeError("an unknown byte order “\(order.string.prefix(40))”") }
    return true
  }

  /// slsDetectorPackage; little-endian.
  fileprivate init(slsDetector members: ArrayMembers) throws(DecodeError) {
    guard let frame = members.frameIndex?.unsigned, frame < mostFrameNumber else {
      throw DecodeError("an slsDetector image without a usable frameIndex")
    }
    switch members.bitmode?.integer {
    case 8: pixelType = .u8
    case 16: pixelType = .u16
    case 32: pixelType = .u32
    case let bits:
      throw DecodeError("pixels of \(bits.map(String.init) ?? "unknown") bit; set `dr` to 8, 16 or 32")
    }
    (width, height) = try Self.sides(members.shape, isColumnFirst: true)
    number = frame
    countsFromZero = true
    isBigEndian = false
    // Ticks of 100 ns; 0 where the detector has no such counter.
    let ticks = members.timestamp?.integer ?? 0
    deviceNanoseconds = ticks > 0 ? Self.hundredfold(ticks) : nil
    // With 32 bit it may be the number of a sub-frame.
    exposureNanoseconds = pixelType == .u32 ? 0 : Self.hundredfold(members.expLength?.integer ?? 0) ?? 0
    if let whole = members.completeImage?.integer ?? members.completeImage?.bool.map({ $0 ? 1 : 0 }), whole == 0 {
      fault = "an image of which packets were lost between detector and receiver"
    }
  }

  /// Width and height.
  private static func sides(_ shape: JSONScanner.Value?, isColumnFirst: Bool) throws(DecodeError) -> (Int, Int) {
    guard let sides = shape?.elements.flatMap({ ImageSides($0, isColumnFirst: isColumnFirst) }) else {
      throw DecodeError("an array without a usable shape")
    }
    return (sides.width, sides.height)
  }

  private static func hundredfold(_ ticks: Int64) -> Int64? {
    let (product, overflow) = ticks.multipliedReportingOverflow(by: 100)
    return overflow || !Stamps.plausible.contains(product) ? nil : product
  }

  /// Its form is not laid down: seconds since 1970 as a number, seconds and nanoseconds as a pair, or nanoseconds.
  private static func time(_ value: JSONScanner.Value?) -> Int64? {
    if var pair = value?.elements {
      // It has been read: it is JSON.
      guard let seconds = (try? pair.nextElement())?.integer, let rest = (try? pair.nextElement())?.integer,
        (try? pair.nextElement()) == nil, (0..<1_000_000_000).contains(rest), (0..<(1 << 31)).contains(seconds)
      else { return nil }
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
