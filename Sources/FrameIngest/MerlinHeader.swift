import Pixels

/// What stands before every Merlin message: `MPX,`, ten digits, a comma (camera-streams.md §3).
enum MerlinPrefix {
  static let bytes = 15

  /// Bytes of the payload that follows; nil when this is no prefix. The number counts one comma more.
  static func payloadBytes(_ bytes: UnsafeRawBufferPointer) -> Int? {
    guard bytes.count >= Self.bytes, unsafe bytes[..<4].elementsEqual("MPX,".utf8), unsafe bytes[14] == comma else {
      return nil
    }
    guard let number = unsafe decimal(bytes[4..<14]), number > 0 else { return nil }
    return Int(number) - 1
  }
}

private let comma = UInt8(ascii: ",")
private let zero = UInt8(ascii: "0")

/// 1 … 18 decimal digits and nothing else.
private func decimal(_ digits: Slice<UnsafeRawBufferPointer>) -> UInt64? {
  guard unsafe (1...18).contains(digits.count) else { return nil }
  var value: UInt64 = 0
  for index in unsafe digits.startIndex..<digits.endIndex {
    let digit = unsafe digits[index]
    guard (zero...zero + 9).contains(digit) else { return nil }
    value = value * 10 + UInt64(digit - zero)
  }
  return value
}

/// The header of one Merlin frame: comma-separated text, padded to `dataOffset` bytes (camera-streams.md §3).
struct MerlinFrameHeader: Equatable {
  /// From 1 in each acquisition.
  var sequence: UInt64
  /// With how many digits it was written.
  var sequenceDigits: Int
  var chips: Int
  var width: Int
  var height: Int
  /// As it is on the wire, big-endian; nil for kinds that cannot be recorded.
  var pixelType: PixelType?
  /// As it is written: U08, U16, U32, R64 …
  var typeName: String
  var exposureNanoseconds: Int64
  /// Start of the shutter on the Merlin computer's clock, ns since 1970 UTC (MQ1A); nil from software that does not
  /// write it. The other stamp of the header is local time of an unknown zone, and is not used.
  var startNanoseconds: Int64?
  /// Bits: 1, 6, 12 or 24.
  var counterDepth: Int?

  /// Headers are below it: 384 bytes of one chip, 768 of four.
  static let mostBytes = 16384
  /// The header's own length is within its first bytes.
  static let leastBytes = 24
  private static let mostSide: UInt64 = 65535

  /// The length of the header, from its first `leastBytes` bytes.
  static func length(_ bytes: UnsafeRawBufferPointer) -> Int? {
    var fields = unsafe Fields(bytes)
    guard unsafe fields.next()?.elementsEqual("MQ1".utf8) == true, unsafe fields.number() != nil else { return nil }
    return unsafe fields.number().flatMap { (UInt64(leastBytes)...UInt64(mostBytes)).contains($0) ? Int($0) : nil }
  }

  /// - Parameter bytes: all of the header.
  init(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) {
    var fields = unsafe Fields(bytes)
    guard unsafe fields.next()?.elementsEqual("MQ1".utf8) == true else { throw DecodeError("a frame without MQ1") }
    guard let number = unsafe fields.next(), let value = unsafe decimal(number) else {
      throw DecodeError("a frame without a sequence number")
    }
    sequence = value
    sequenceDigits = unsafe number.count
    guard unsafe fields.number() != nil, let chips = unsafe fields.number(), chips <= 255 else {
      throw DecodeError("a frame header without its number of chips")
    }
    self.chips = Int(chips)
    guard let width = unsafe fields.number(), let height = unsafe fields.number(), (1...Self.mostSide).contains(width),
      (1...Self.mostSide).contains(height)
    else { throw DecodeError("a frame without a usable width and height") }
    self.width = Int(width)
    self.height = Int(height)
    guard let type = unsafe fields.next(), unsafe type.count <= 8 else { throw DecodeError("a frame without a type") }
    (pixelType, typeName) = unsafe Self.type(type)
    // Layout, chips in use, local time; then the shutter in seconds.
    for _ in 0..<3 { _ = unsafe fields.next() }
    exposureNanoseconds = unsafe fields.next().flatMap { unsafe Fields.nanoseconds(seconds: $0) } ?? 0
    while let field = unsafe fields.next() {
      guard unsafe field.elementsEqual("MQ1A".utf8) else { continue }
      startNanoseconds = unsafe fields.next().flatMap { unsafe UTCStamp.nanoseconds($0) }
      if let span = unsafe fields.next(), unsafe span.suffix(2).elementsEqual("ns".utf8),
        let value = unsafe decimal(span.dropLast(2)), let exposure = Int64(exactly: value)
      {
        exposureNanoseconds = exposure
      }
      counterDepth = unsafe fields.number().flatMap { Int(exactly: $0) }
      break
    }
  }

  // The names of ordinary frames are not made anew for each: a literal allocates nothing.
  private static func type(_ field: Slice<UnsafeRawBufferPointer>) -> (PixelType?, String) {
    if unsafe field.elementsEqual("U16".utf8) { return (.u16, "U16") }
    if unsafe field.elementsEqual("U08".utf8) { return (.u8, "U08") }
    if unsafe field.elementsEqual("U32".utf8) { return (.u32, "U32") }
    // A byte for each pixel all the same, as public readers of recorded files have it; the length is checked.
    if unsafe field.elementsEqual("U01".utf8) { return (.u8, "U01") }
    return unsafe (nil, String(decoding: field, as: UTF8.self))
  }
}

/// Fields between commas, read one after the other where they lie.
@unsafe
private struct Fields {
  private let bytes: UnsafeRawBufferPointer
  private var position: Int? = 0

  init(_ bytes: UnsafeRawBufferPointer) { unsafe self.bytes = unsafe bytes }

  /// The next field without blanks at its ends; nil behind the last.
  mutating func next() -> Slice<UnsafeRawBufferPointer>? {
    guard let start = unsafe position else { return nil }
    let end = unsafe bytes[start...].firstIndex(of: comma)
    unsafe position = end.map { $0 + 1 }
    var field = unsafe bytes[start..<(end ?? bytes.count)]
    while unsafe field.first == 32 { unsafe field.removeFirst() }
    while let last = unsafe field.last, last == 32 || last == 0 || last == 10 || last == 13 {
      unsafe field.removeLast()
    }
    return unsafe field
  }

  mutating func number() -> UInt64? { unsafe next().flatMap { unsafe decimal($0) } }

  /// "0.000555" in ns; digits beyond the ninth are left out.
  static func nanoseconds(seconds field: Slice<UnsafeRawBufferPointer>) -> Int64? {
    let point = unsafe field.firstIndex(of: UInt8(ascii: ".")) ?? field.endIndex
    guard let whole = unsafe decimal(field[field.startIndex..<point]), whole < 1_000_000_000 else { return nil }
    let digits = unsafe field[point...].dropFirst().prefix(9)
    var fraction: UInt64 = 0
    if unsafe !digits.isEmpty {
      guard let value = unsafe decimal(digits) else { return nil }
      fraction = unsafe (digits.count..<9).reduce(value) { value, _ in value * 10 }
    }
    return Int64(whole * 1_000_000_000 + fraction)
  }
}

/// A time such as 2020-05-18T14:51:49.971626178Z.
enum UTCStamp {
  /// Nanoseconds since 1970; nil when it is no such time, or before 1970 or after 2199.
  static func nanoseconds(_ field: Slice<UnsafeRawBufferPointer>) -> Int64? {
    let start = unsafe field.startIndex
    func digits(_ from: Int, _ count: Int) -> Int? {
      guard unsafe from + count <= field.count else { return nil }
      return unsafe decimal(field[start + from..<start + from + count]).map { Int($0) }
    }
    func stands(_ sign: Unicode.Scalar, at place: Int) -> Bool { unsafe field[start + place] == UInt8(ascii: sign) }

    let count = unsafe field.count
    guard count >= 20, stands("-", at: 4), stands("-", at: 7), stands("T", at: 10), stands(":", at: 13),
      stands(":", at: 16), stands("Z", at: count - 1), let year = digits(0, 4), let month = digits(5, 2),
      let day = digits(8, 2), let hour = digits(11, 2), let minute = digits(14, 2), let second = digits(17, 2),
      (1970...2199).contains(year), (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60,
      second <= 60
    else { return nil }
    var fraction = 0
    if count > 20 {
      let places = count - 21
      guard stands(".", at: 19), (1...9).contains(places), let value = digits(20, places) else { return nil }
      fraction = (places..<9).reduce(value) { value, _ in value * 10 }
    }
    let seconds = days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
    return Int64(seconds) * 1_000_000_000 + Int64(fraction)
  }

  /// Days from 1970-01-01 in the Gregorian calendar, years counted from March so that a leap day is the last.
  private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let shifted = month > 2 ? year : year - 1
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + dayOfYear - 719_468
  }
}

/// What Merlin sends once at the beginning of an acquisition: `HDR,`, lines `Key:⇥Value`, `End` (camera-streams.md §3).
struct MerlinAcquisitionHeader: Equatable {
  var frames: UInt64?
  var framesPerTrigger: UInt64?
  var counterDepth: Int?
  var chipIDs: String?
  var readoutSystem: String?
  var softwareVersion: String?

  static let mostBytes = 64 << 10
  private static let mostTextBytes = 256

  init(_ payload: UnsafeRawBufferPointer) {
    // Latin-1: it may hold a µ.
    let lines = unsafe payload.split(separator: 10)
    for index in unsafe lines.indices {
      let line = unsafe lines[index]
      guard let colon = unsafe line.firstIndex(of: UInt8(ascii: ":")) else {
        if unsafe line.starts(with: "End".utf8) { break }
        continue
      }
      let key = unsafe Self.text(line[line.startIndex..<colon])
      let value = unsafe Self.text(line[colon...].dropFirst())
      switch key {
      case "Frames in Acquisition (Number)": frames = frames ?? UInt64(value)
      case "Frames per Trigger (Number)": framesPerTrigger = framesPerTrigger ?? UInt64(value)
      case "Counter Depth (number)": counterDepth = counterDepth ?? Int(value)
      case "Chip ID": chipIDs = chipIDs ?? value
      case "Readout System": readoutSystem = readoutSystem ?? value
      case "Software Version": softwareVersion = softwareVersion ?? value
      default: break
      }
    }
  }

  private static func text(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
    var scalars = String.UnicodeScalarView()
    for index in unsafe bytes.startIndex..<min(bytes.endIndex, bytes.startIndex + mostTextBytes) {
      let byte = unsafe bytes[index]
      if byte >= 32 && byte != 127 { scalars.append(Unicode.Scalar(byte)) }
    }
    let text = String(scalars)
    let start = text.firstIndex { $0 != " " } ?? text.endIndex
    let end = text.lastIndex { $0 != " " }.map(text.index(after:)) ?? start
    return String(text[start..<end])
  }
}
