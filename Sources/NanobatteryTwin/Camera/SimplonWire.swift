internal import CBitshuffle
internal import CLZ4
internal import JSON
package import Pixels

/// What a DECTRIS detector control unit puts on the wire, message by message (camera-streams.md §1, §2).
package struct SimplonWire: Sendable {
  package enum Version: String, Sendable {
    case legacy
    case cbor
  }

  package enum Compression: String, CaseIterable, Sendable {
    case none
    case lz4
    case bslz4
  }

  /// One series, as its first message tells of it.
  package struct Series: Equatable, Sendable {
    package var number: UInt64
    package var images: UInt64
    package var period_ns: Int64
    package var exposure_ns: Int64
    package var width: Int
    package var height: Int

    package init(number: UInt64, images: UInt64, period_ns: Int64, exposure_ns: Int64, width: Int, height: Int) {
      self.number = number
      self.images = images
      self.period_ns = period_ns
      self.exposure_ns = exposure_ns
      self.width = width
      self.height = height
    }
  }

  package static let model = "insitud twin SIMPLON"
  /// Hz of the rationals of version 2.
  static let timeBase: UInt64 = 50_000_000
  private static let shuffledBlock = 8192
  private static let plainBlock = 1 << 20

  package var version: Version
  package var pixelType = PixelType.u16
  package var compression = Compression.bslz4
  /// The first shows the picture; in each further one every count is half of what it was in the one before.
  package var channels = ["threshold_1"]
  package var serial = "TWIN-CAM-1"

  package init(_ version: Version) { self.version = version }

  // MARK: Messages

  package func start(_ series: Series) -> [[UInt8]] {
    switch version {
    case .legacy:
      let header: JSONValue = [
        "header_detail": "basic", "htype": "dheader-1.0", "series": .integer(Int64(clamping: series.number)),
      ]
      let configuration: JSONValue = [
        "description": .string(Self.model), "detector_number": .string(serial),
        "x_pixels_in_detector": .integer(Int64(series.width)), "y_pixels_in_detector": .integer(Int64(series.height)),
        "bit_depth_image": .integer(Int64(pixelType.bytesPerPixel * 8)), "trigger_mode": "ints", "ntrigger": 1,
        "nimages": .integer(Int64(clamping: series.images)), "count_time": .number(Double(series.exposure_ns) * 1e-9),
        "frame_time": .number(Double(series.period_ns) * 1e-9), "compression": .string(compression.rawValue),
      ]
      return [header.bytes, configuration.bytes]
    case .cbor:
      var out = CBORWriter()
      out.map(12)
      out.pair("type", "start")
      out.text("arm_date")
      out.tag(0)
      out.text("2026-11-21T09:00:00.000000000Z")
      out.text("channels")
      out.array(UInt64(channels.count))
      for channel in channels { out.text(channel) }
      out.pair("detector_description", Self.model)
      out.pair("detector_serial_number", serial)
      out.text("frame_time")
      out.float(Double(series.period_ns) * 1e-9)
      out.pair("image_dtype", "uint\(pixelType.bytesPerPixel * 8)")
      out.pair("image_size_x", UInt64(series.width))
      out.pair("image_size_y", UInt64(series.height))
      out.pair("number_of_images", series.images)
      out.pair("series_id", series.number)
      out.pair("series_unique_id", "twin-\(series.number)")
      return [out.bytes]
    }
  }

  package func end(_ number: UInt64) -> [[UInt8]] {
    switch version {
    case .legacy:
      let end: JSONValue = ["htype": "dseries_end-1.0", "series": .integer(Int64(clamping: number))]
      return [end.bytes]
    case .cbor:
      var out = CBORWriter()
      out.map(3)
      out.pair("type", "end")
      out.pair("series_id", number)
      out.pair("series_unique_id", "twin-\(number)")
      return [out.bytes]
    }
  }

  /// - Parameters:
  ///   - pixels: row-major counts of 16 bits.
  ///   - start_ns: since the beginning of the series.
  package func image(
    _ series: UInt64, _ number: UInt64, _ pixels: [UInt16], width: Int, height: Int, start_ns: Int64, exposure_ns: Int64
  ) -> [[UInt8]] {
    switch version {
    case .legacy:
      let blob = compressed(raw(pixels))
      let bits = pixelType.bytesPerPixel * 8
      let encoding =
        switch compression {
        case .none: "<"
        case .lz4: "lz4<"
        case .bslz4: "bs\(bits)-lz4<"
        }
      let image: JSONValue = [
        "htype": "dimage-1.0", "series": .integer(Int64(clamping: series)), "frame": .integer(Int64(clamping: number)),
        "hash": "",
      ]
      let description: JSONValue = [
        "htype": "dimage_d-1.0", "shape": [.integer(Int64(width)), .integer(Int64(height))],
        "type": .string("uint\(bits)"), "encoding": .string(encoding), "size": .integer(Int64(blob.count)),
      ]
      let times: JSONValue = [
        "htype": "dconfig-1.0", "start_time": .integer(start_ns), "stop_time": .integer(start_ns + exposure_ns),
        "real_time": .integer(exposure_ns),
      ]
      return [image.bytes, description.bytes, blob, times.bytes]
    case .cbor:
      var out = CBORWriter()
      out.map(9)
      out.pair("type", "image")
      out.pair("series_id", series)
      out.pair("series_unique_id", "twin-\(series)")
      out.pair("image_id", number)
      out.text("series_date")
      out.tag(0)
      out.text("2026-11-21T09:00:00.000000000Z")
      out.rational("start_time", start_ns)
      out.rational("stop_time", start_ns + exposure_ns)
      out.rational("real_time", exposure_ns)
      out.text("data")
      out.map(UInt64(channels.count))
      for (index, channel) in channels.enumerated() {
        out.text(channel)
        out.tag(40)
        out.array(2)
        out.array(2)
        out.unsigned(UInt64(height))
        out.unsigned(UInt64(width))
        out.tag(pixelType == .u8 ? 64 : pixelType == .u16 ? 69 : 70)
        let bytes = raw(index == 0 ? pixels : pixels.map { $0 >> UInt16(min(index, 15)) })
        if compression != .none {
          out.tag(56500)
          out.array(3)
          out.text(compression.rawValue)
          out.unsigned(UInt64(pixelType.bytesPerPixel))
        }
        out.byteString(compressed(bytes))
      }
      return [out.bytes]
    }
  }

  // MARK: Pixels

  /// Little-endian pixels of the type that is sent; counts beyond 8 bits saturate.
  package func raw(_ pixels: [UInt16]) -> [UInt8] {
    switch pixelType {
    case .u8: pixels.map { UInt8(min($0, 255)) }
    // `littleEndian` is the value itself on every processor that this runs on.
    case .u16: unsafe pixels.withUnsafeBytes { unsafe Array($0) }
    case .u32: unsafe pixels.map { UInt32($0) }.withUnsafeBytes { unsafe Array($0) }
    }
  }

  private func compressed(_ bytes: [UInt8]) -> [UInt8] {
    switch (compression, version) {
    case (.none, _): bytes
    // Version 1 has one block without the framing.
    case (.lz4, .legacy): Self.lz4(bytes[...])
    case (.lz4, .cbor): framed(bytes, block: Self.plainBlock) { Self.lz4($0) }
    case (.bslz4, _):
      framed(bytes, block: Self.shuffledBlock) { Self.lz4(Self.shuffled($0, pixelType.bytesPerPixel)[...]) }
    }
  }

  private func framed(_ bytes: [UInt8], block: Int, _ compress: (ArraySlice<UInt8>) -> [UInt8]) -> [UInt8] {
    let isShuffled = compression == .bslz4
    let unit = isShuffled ? 8 * pixelType.bytesPerPixel : 1
    let whole = bytes.count / unit * unit
    var out = Self.bigEndian(UInt64(bytes.count)) + Self.bigEndian(UInt32(block))
    var done = 0
    while done < whole {
      let part = bytes[done..<min(done + block, whole)]
      var packed = compress(part)
      // A block that does not shrink is stored; of shuffled ones there are none such.
      if !isShuffled, packed.count >= part.count { packed = Array(part) }
      out += Self.bigEndian(UInt32(packed.count)) + packed
      done += part.count
    }
    return out + bytes[whole...]
  }

  private static func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  private static func lz4(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    let most = Int(LZ4_compressBound(Int32(bytes.count)))
    return unsafe [UInt8](unsafeUninitializedCapacity: most) { room, count in
      let written = unsafe bytes.withUnsafeBytes { source in
        unsafe LZ4_compress_default(
          source.assumingMemoryBound(to: CChar.self).baseAddress,
          UnsafeMutableRawBufferPointer(room).assumingMemoryBound(to: CChar.self).baseAddress, Int32(source.count),
          Int32(most))
      }
      count = Int(max(0, written))
    }
  }

  private static func shuffled(_ bytes: ArraySlice<UInt8>, _ elementBytes: Int) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: bytes.count) { room, count in
      unsafe bytes.withUnsafeBytes { source in
        guard let from = source.baseAddress, let to = room.baseAddress else { return }
        unsafe cbitshuffle_do(from, source.count / elementBytes, elementBytes, to)
      }
      count = bytes.count
    }
  }
}

/// Puts CBOR items one behind the other.
private struct CBORWriter {
  private(set) var bytes: [UInt8] = []

  private mutating func head(_ kind: UInt8, _ value: UInt64) {
    switch value {
    case ..<24: bytes.append(kind << 5 | UInt8(value))
    case ..<0x100: bytes += [kind << 5 | 24, UInt8(value)]
    case ..<0x1_0000: append(kind << 5 | 25, value, 2)
    case ..<0x1_0000_0000: append(kind << 5 | 26, value, 4)
    default: append(kind << 5 | 27, value, 8)
    }
  }

  private mutating func append(_ first: UInt8, _ value: UInt64, _ count: Int) {
    bytes.append(first)
    for index in (0..<count).reversed() { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))) }
  }

  mutating func unsigned(_ value: UInt64) { head(0, value) }
  mutating func byteString(_ value: [UInt8]) {
    head(2, UInt64(value.count))
    bytes += value
  }
  mutating func text(_ value: String) {
    head(3, UInt64(value.utf8.count))
    bytes += Array(value.utf8)
  }
  mutating func array(_ count: UInt64) { head(4, count) }
  mutating func map(_ count: UInt64) { head(5, count) }
  mutating func tag(_ number: UInt64) { head(6, number) }
  mutating func float(_ value: Double) { append(0xFB, value.bitPattern, 8) }

  mutating func pair(_ key: String, _ value: String) {
    text(key)
    text(value)
  }
  mutating func pair(_ key: String, _ value: UInt64) {
    text(key)
    unsigned(value)
  }
  mutating func rational(_ key: String, _ nanoseconds: Int64) {
    text(key)
    array(2)
    unsigned(UInt64(max(0, nanoseconds)) / (1_000_000_000 / SimplonWire.timeBase))
    unsigned(SimplonWire.timeBase)
  }
}
