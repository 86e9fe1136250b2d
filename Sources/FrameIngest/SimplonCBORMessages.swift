import Pixels

// The messages of the SIMPLON stream v2 (camera-streams.md §1). A key that is not known is passed over; a key that
// should have a certain type and has not makes the message useless, except where a frame is good without it.

/// The message that begins a series.
struct SimplonStart {
  private(set) var series: UInt64?
  private(set) var configuration = SimplonConfiguration()
  /// In the order of the images.
  private(set) var channels: [[UInt8]] = []

  private static let mostChannels = 64

  /// Reads the entries that follow `type`.
  init(_ reader: inout CBORReader, _ entries: inout CBORReader.Entries) throws(DecodeError) {
    while try reader.more(&entries) {
      let key = try reader.text()
      if reader.text(key, is: "series_id") {
        series = try reader.unsigned()
      } else if reader.text(key, is: "number_of_images") {
        let count = try reader.unsigned()
        configuration.expectedFrames = count < mostFrameNumber ? count : nil
      } else if reader.text(key, is: "image_size_x") {
        configuration.width = Int(exactly: try reader.unsigned())
      } else if reader.text(key, is: "image_size_y") {
        configuration.height = Int(exactly: try reader.unsigned())
      } else if reader.text(key, is: "image_dtype") {
        configuration.pixelType = PixelType(simplonName: reader.string(try reader.text()))
      } else if reader.text(key, is: "detector_description") {
        configuration.model = reader.string(try reader.text())
      } else if reader.text(key, is: "detector_serial_number") {
        configuration.serial = reader.string(try reader.text())
      } else if reader.text(key, is: "channels") {
        try readChannels(&reader)
      } else {
        try reader.skip()
      }
    }
  }

  private mutating func readChannels(_ reader: inout CBORReader) throws(DecodeError) {
    channels = []
    var names = try reader.array()
    while try reader.more(&names) {
      let name = try reader.text()
      if channels.count < Self.mostChannels { channels.append(Array(reader.string(name).utf8)) }
    }
  }
}

/// One exposure, in one or more channels, of which one is taken. Nothing is allocated for it.
struct SimplonImage {
  private(set) var series: UInt64?
  private(set) var number: UInt64?
  private(set) var times: SimplonTimes
  /// Channels in the message.
  private(set) var channels = 0
  /// Place of the name of the channel that was taken.
  private(set) var channel: Range<Int>?
  private(set) var description: SimplonImageDescription?
  /// Place of the pixel bytes in the message, compressed or not.
  private(set) var pixels: Range<Int> = 0..<0
  /// Why the pixels cannot be used.
  private(set) var fault: DecodeError?

  /// Reads the entries that follow `type`.
  /// - Parameter wanted: the channel's name; nil: the first of the message.
  init(_ reader: inout CBORReader, _ entries: inout CBORReader.Entries, channel wanted: [UInt8]?) throws(DecodeError) {
    var start: Int64?
    var stop: Int64?
    var real: Int64?
    times = SimplonTimes()
    while try reader.more(&entries) {
      let key = try reader.text()
      if reader.text(key, is: "series_id") {
        series = try reader.unsigned()
      } else if reader.text(key, is: "image_id") {
        number = try reader.unsigned()
      } else if reader.text(key, is: "start_time") {
        start = try Self.nanoseconds(&reader)
      } else if reader.text(key, is: "stop_time") {
        stop = try Self.nanoseconds(&reader)
      } else if reader.text(key, is: "real_time") {
        real = try Self.nanoseconds(&reader)
      } else if reader.text(key, is: "data"), reader.next == .map {
        try readData(&reader, wanted)
      } else {
        try reader.skip()
      }
    }
    times = SimplonTimes(start: start, stop: stop, real: real)
    if let problem = fault ?? missing(wanted) { fault = problem }
  }

  private func missing(_ wanted: [UInt8]?) -> DecodeError? {
    guard channel == nil else { return nil }
    guard let wanted, channels > 0 else { return DecodeError("an image without data") }
    return DecodeError(
      "an image without the channel “\(String(decoding: wanted, as: UTF8.self))”; set `camera.channel` right")
  }

  private mutating func readData(_ reader: inout CBORReader, _ wanted: [UInt8]?) throws(DecodeError) {
    // A second map would be another picture of the same frame.
    guard channels == 0 else { throw DecodeError("an image with two maps of data") }
    var entries = try reader.map()
    while try reader.more(&entries) {
      let name = try reader.text()
      channels += 1
      var inside = reader
      try reader.skip()
      let isWanted = if let wanted { reader.text(name, is: wanted) } else { channel == nil }
      guard isWanted else { continue }
      guard channel == nil else {
        fault = DecodeError("an image with the same channel twice")
        continue
      }
      channel = name
      do throws(DecodeError) { try readArray(&inside) } catch { fault = error }
    }
  }

  /// Tag 40: [[rows, columns], typed array] (camera-streams.md §1.1).
  private mutating func readArray(_ reader: inout CBORReader) throws(DecodeError) {
    let order = try reader.tag()
    guard order == 40 else {
      throw DecodeError(
        order == 1040 ? "an image that is written column by column" : "an image that is not a multi-dimensional array")
    }
    try reader.array(of: 2)
    try reader.array(of: 2)
    let (height, width) = (Int64(clamping: try reader.unsigned()), Int64(clamping: try reader.unsigned()))
    guard ImageSides.possible.contains(width), ImageSides.possible.contains(height) else {
      throw DecodeError("an image without a usable shape")
    }
    let (pixelType, isBigEndian) = try Self.pixelType(tag: try reader.tag())
    var compression = SimplonImageDescription.Compression.none
    if reader.next == .tag {
      let tag = try reader.tag()
      guard tag == 56500 else { throw DecodeError("pixels behind the unknown tag \(tag)") }
      compression = try Self.compression(&reader, pixelType)
    }
    pixels = try reader.byteString()
    description = SimplonImageDescription(
      width: Int(width), height: Int(height), pixelType: pixelType, compression: compression, isBigEndian: isBigEndian)
  }

  /// The typed arrays of RFC 8746 §2 that are pictures of counts.
  private static func pixelType(tag: UInt64) throws(DecodeError) -> (PixelType, isBigEndian: Bool) {
    switch tag {
    case 64, 68: return (.u8, false)
    case 65: return (.u16, true)
    case 66: return (.u32, true)
    case 69: return (.u16, false)
    case 70: return (.u32, false)
    case 67, 71: throw DecodeError("images of 64-bit pixels cannot be recorded")
    case 72...79: throw DecodeError("images of signed pixels cannot be recorded")
    case 80...87: throw DecodeError("images of floating-point pixels cannot be recorded")
    default: throw DecodeError("pixels of the unknown type \(tag)")
    }
  }

  /// Tag 56500: [algorithm, bytes of an element, compressed bytes]; the reader is left before the bytes.
  private static func compression(
    _ reader: inout CBORReader, _ pixelType: PixelType
  ) throws(DecodeError) -> SimplonImageDescription.Compression {
    try reader.array(of: 3)
    let name = try reader.text()
    let elementBytes = try reader.unsigned()
    if reader.text(name, is: "lz4") { return .framedLZ4 }
    guard reader.text(name, is: "bslz4") else {
      throw DecodeError("unknown compression “\(reader.string(name, most: 40))”")
    }
    guard elementBytes == UInt64(pixelType.bytesPerPixel) else {
      throw DecodeError("a bit shuffle of \(elementBytes)-byte elements of \(pixelType.bytesPerPixel)-byte pixels")
    }
    return .bitShuffledLZ4
  }

  /// A rational number of seconds as nanoseconds, rounded down; nil when it is none. A frame is good without it.
  private static func nanoseconds(_ reader: inout CBORReader) throws(DecodeError) -> Int64? {
    var inside = reader
    try reader.skip()
    do throws(DecodeError) {
      try inside.array(of: 2)
      let (numerator, denominator) = (try inside.unsigned(), try inside.unsigned())
      let (high, low) = numerator.multipliedFullWidth(by: 1_000_000_000)
      guard high < denominator else { return Int64.max }  // beyond what a clock reads
      return Int64(clamping: denominator.dividingFullWidth((high, low)).quotient)
    } catch {
      return nil
    }
  }
}

/// The message that ends a series.
struct SimplonEnd {
  private(set) var series: UInt64?

  init(_ reader: inout CBORReader, _ entries: inout CBORReader.Entries) throws(DecodeError) {
    while try reader.more(&entries) {
      let key = try reader.text()
      if reader.text(key, is: "series_id") { series = try reader.unsigned() } else { try reader.skip() }
    }
  }
}
