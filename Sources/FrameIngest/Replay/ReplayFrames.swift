import FrameRing
import Glibc
import Linux
import Pixels

/// One frame on a file, and what was recorded with it.
struct ReplayFrame: Equatable {
  var file: Int
  /// Of its first pixel.
  var offset: Int64
  var number: UInt64
  /// How it stands in a compressed segment; nil in other files: as it came.
  var blob: ReplayBlob?
  /// What the index of a run says; nil for other files.
  var recorded: Recorded?

  struct Recorded: Equatable {
    var device: Int64
    var arrival: Int64
    var exposure: Int64
    var flags: FrameFlags
    var pixelCRC: UInt32
  }
}

/// What the index of a compressed segment says of a frame beside where it begins.
struct ReplayBlob: Equatable {
  /// nil: the pixels as they came.
  var method: FrameCompression?
  var bytes: Int
  var crc: UInt32
}

/// Pixels of every frame of one file.
struct ReplayShape: Equatable {
  var width: Int
  var height: Int
  var pixelType: PixelType
  /// 16-bit pixels are signed: frames with a negative one are refused.
  var isSigned = false

  var bytes: Int { width * height * pixelType.bytesPerPixel }
}

/// The frames of a recorded run, of an MRC file or of a raw file, series by series.
struct ReplayFrames {
  /// More frames are not taken on: their index would fill the memory.
  static let mostFrames = 1 << 20
  static let mostSide = 65535

  private(set) var files: [(path: String, shape: ReplayShape)] = []
  private(set) var series: [[ReplayFrame]] = []
  /// What a reader should know of the file.
  private(set) var notes: [String] = []

  /// - Parameter place: the path, and for a raw file `?width=…&height=…&type=u16` with `&offset=…` where there is a header.
  init(_ place: String) throws(DecodeError) {
    let parts = place.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let path = parts.first ?? ""
    guard FileSystem.exists(path) else { throw DecodeError("there is no \(path)") }
    if FileSystem.isDirectory(path) {
      try addRun(path)
    } else if parts.count > 1 {
      try addRaw(path, parts[1])
    } else if path.hasSuffix(".mrc") {
      try addMRC(path)
    } else if path.hasSuffix(".bsf") {
      try addCompressed(path)
    } else {
      throw DecodeError(
        "\(path) is no run and no .mrc or .bsf file; of a raw file say what it is: file://\(path)?width=1024&height=1024&type=u16"
      )
    }
    guard !series.isEmpty else { throw DecodeError("there are no frames in \(path)") }
  }

  // MARK: Kinds of files

  private mutating func addRun(_ directory: String) throws(DecodeError) {
    let names = ((try? FileSystem.list(directory)) ?? []).filter { $0.hasPrefix("frames-") }
    for name in names.sorted() {
      if name.hasSuffix(".mrc") { try addMRC("\(directory)/\(name)") }
      if name.hasSuffix(".bsf") { try addCompressed("\(directory)/\(name)") }
    }
  }

  private mutating func addMRC(_ path: String) throws(DecodeError) {
    let (shape, start, frames) = try Self.header(path)
    guard let size = FileSystem.size(of: path) else { throw DecodeError("\(path) cannot be read") }
    let there = Int((size - start) / Int64(shape.bytes))
    files.append((path, shape))
    let index = path.dropLast(4) + ".idx"
    if FileSystem.exists(String(index)) {
      let bytes = Int64(shape.bytes)
      try addIndex(String(index), recordBytes: 64) { record in
        record[56, 4] < UInt64(there) ? (start + Int64(record[56, 4]) * bytes, nil) : nil
      }
    } else {
      if there < frames { notes.append("\(path) has \(there) of its \(frames) frames") }
      try addPlain(min(frames, there), start)
    }
  }

  /// MRC2014: shape, where the pixels begin, and how many frames the header counts.
  private static func header(_ path: String) throws(DecodeError) -> (ReplayShape, Int64, Int) {
    let bytes = try read(path, at: 0, count: 1024)
    guard bytes.count == 1024, bytes[208..<212].elementsEqual("MAP ".utf8), bytes[212] == 0x44 else {
      throw DecodeError("\(path) is no little-endian MRC2014 file")
    }
    func word(_ offset: Int) -> Int {
      Int(Int32(truncatingIfNeeded: (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }))
    }
    let title = String(decoding: bytes[224..<304].prefix { $0 != 0 }, as: UTF8.self)
    var (columns, rows, frames, mode, extended) = (word(0), word(4), word(8), word(12), word(92))
    let pixels: PixelType
    switch mode {
    case 0 where title.hasPrefix("insitud |u1 "): pixels = .u8
    case 6 where title.hasPrefix("insitud <u4 ") && columns % 2 == 0:
      pixels = .u32
      columns /= 2
    case 1, 6: pixels = .u16
    default:
      throw DecodeError(
        "\(path) has pixels of MRC mode \(mode); unsigned 16-bit ones (mode 6) can be replayed, and mode 1")
    }
    guard 1...mostSide ~= columns, 1...mostSide ~= rows, frames >= 0, 0...(1 << 30) ~= extended else {
      throw DecodeError("\(path) says \(columns) × \(rows) × \(frames)")
    }
    return (
      ReplayShape(width: columns, height: rows, pixelType: pixels, isSigned: mode == 1), Int64(1024 + extended), frames
    )
  }

  /// A segment of compressed frames (docs/files.md).
  private mutating func addCompressed(_ path: String) throws(DecodeError) {
    let name = path.split(separator: "/").last ?? ""
    let remedy =
      "; bring it back from a copy of the run, or move \(name) and its .idx elsewhere to play the other segments"
    let index = path.dropLast(4) + ".idx"
    guard FileSystem.exists(String(index)) else {
      throw DecodeError("\(path) has no index, which alone says where its frames begin\(remedy)")
    }
    guard let size = FileSystem.size(of: path) else { throw DecodeError("\(path) cannot be read") }
    let header = try Self.read(path, at: 0, count: Self.compressedHeaderBytes)
    guard header.count == Self.compressedHeaderBytes, header[..<8].elementsEqual("INSITBSF".utf8) else {
      throw DecodeError("\(path) is no segment of compressed frames: its first page is damaged\(remedy)")
    }
    let fields = Record(bytes: header[...])
    let (version, recordBytes) = (fields[8, 4], fields[32, 4])
    guard version == 1, fields[12, 4] == UInt64(Self.compressedHeaderBytes), recordBytes == 96 else {
      throw DecodeError(
        "\(path) is a segment of version \(version) with records of \(recordBytes) bytes, and 1 with 96 is what is read"
          + "; `insituctl export RUN --format mrc` of the insitud that recorded it makes plain segments")
    }
    let (width, height) = (Int(fields[16, 4]), Int(fields[20, 4]))
    let types: [UInt64: PixelType] = [1: .u8, 2: .u16, 4: .u32]
    guard 1...Self.mostSide ~= width, 1...Self.mostSide ~= height, let type = types[fields[24, 4]] else {
      throw DecodeError("\(path) says \(width) × \(height) pixels of \(fields[24, 4]) bytes\(remedy)")
    }
    let shape = ReplayShape(width: width, height: height, pixelType: type)
    files.append((path, shape))
    try addIndex(String(index), recordBytes: 96) { record in
      let methods: [UInt64: FrameCompression?] = [0: nil, 1: .bslz4, 2: .bszstd, 3: .bsgaps]
      let (offset, bytes) = (record[64, 8], record[72, 8])
      // A frame is never larger than its pixels, and one that is compressed is smaller.
      guard let method = methods[record[60, 4]], offset >= UInt64(Self.compressedHeaderBytes), bytes > 0,
        method == nil ? bytes == UInt64(shape.bytes) : bytes < UInt64(shape.bytes),
        offset <= UInt64(size), bytes <= UInt64(size) - offset
      else { return nil }
      return (Int64(offset), ReplayBlob(method: method, bytes: Int(bytes), crc: UInt32(record[80, 4])))
    }
  }

  private static let compressedHeaderBytes = 4096

  private mutating func addRaw(_ path: String, _ query: String) throws(DecodeError) {
    var values: [String: String] = [:]
    for part in query.split(separator: "&") {
      let pair = part.split(separator: "=", maxSplits: 1).map(String.init)
      guard pair.count == 2, ["width", "height", "type", "offset"].contains(pair[0]) else {
        throw DecodeError("“\(part)” is none of width=, height=, type= and offset=")
      }
      values[pair[0]] = pair[1]
    }
    guard let width = values["width"].flatMap({ Int($0) }), let height = values["height"].flatMap({ Int($0) }),
      1...Self.mostSide ~= width, 1...Self.mostSide ~= height
    else { throw DecodeError("a raw file needs ?width=…&height=…&type=u16") }
    let types: [String: PixelType] = ["u8": .u8, "u16": .u16, "u32": .u32]
    guard let type = types[values["type"] ?? "u16"] else { throw DecodeError("type must be u8, u16 or u32") }
    guard let start = Int64(values["offset"] ?? "0"), start >= 0 else {
      throw DecodeError("offset is no number of bytes")
    }
    guard let size = FileSystem.size(of: path) else { throw DecodeError("\(path) cannot be read") }
    let shape = ReplayShape(width: width, height: height, pixelType: type)
    let rest = max(0, size - start) % Int64(shape.bytes)
    if rest > 0 { notes.append("\(path) has \(rest) bytes behind its last whole frame") }
    files.append((path, shape))
    try addPlain(Int(max(0, size - start) / Int64(shape.bytes)), start)
  }

  // MARK: Frames

  private mutating func addPlain(_ count: Int, _ start: Int64) throws(DecodeError) {
    try checkRoom(count)
    guard count > 0 else { return }
    let bytes = Int64(files[files.count - 1].shape.bytes)
    series.append(
      (0..<count).map {
        ReplayFrame(file: files.count - 1, offset: start + Int64($0) * bytes, number: UInt64($0), recorded: nil)
      })
  }

  private var count: Int { series.reduce(0) { $0 + $1.count } }

  private func checkRoom(_ more: Int) throws(DecodeError) {
    guard count + more <= Self.mostFrames else { throw DecodeError("more than \(Self.mostFrames) frames") }
  }

  private var openSeries: UInt32?

  /// Little-endian numbers at places of some bytes.
  private struct Record {
    let bytes: ArraySlice<UInt8>

    subscript(_ offset: Int, _ size: Int) -> UInt64 {
      (0..<size).reduce(UInt64(0)) { $0 | UInt64(bytes[bytes.startIndex + offset + $1]) << UInt64(8 * $1) }
    }
    /// The last four bytes are the checksum of those before.
    var isWhole: Bool {
      let sum = unsafe Array(bytes.dropLast(4)).withUnsafeBytes { unsafe crc32c($0) }
      return UInt64(sum) == self[bytes.count - 4, 4]
    }
  }

  /// docs/files.md: 64 bytes for each frame, or 96; what does not check out is left out.
  /// - Parameter place: where the frame begins and how it stands there; nil where it is not on the file.
  private mutating func addIndex(
    _ path: String, recordBytes: Int, place: (Record) -> (offset: Int64, blob: ReplayBlob?)?
  ) throws(DecodeError) {
    let bytes = try Self.read(path, at: 0, count: Self.mostFrames * recordBytes)
    try checkRoom(bytes.count / recordBytes)
    var damaged = 0
    for at in stride(from: 0, through: bytes.count - recordBytes, by: recordBytes) {
      let record = Record(bytes: bytes[at..<at + recordBytes])
      guard record.isWhole, record[0, 8] < mostFrameNumber, let place = place(record) else {
        damaged += 1
        continue
      }
      let number = UInt32(record[32, 4])
      if number != openSeries || series.isEmpty { series.append([]) }
      openSeries = number
      var frame = ReplayFrame(file: files.count - 1, offset: place.offset, number: record[0, 8], blob: place.blob)
      frame.recorded = ReplayFrame.Recorded(
        device: Int64(bitPattern: record[8, 8]), arrival: Int64(bitPattern: record[16, 8]),
        exposure: Int64(bitPattern: record[24, 8]), flags: FrameFlags(rawValue: UInt32(record[36, 4])),
        pixelCRC: UInt32(record[52, 4]))
      series[series.count - 1].append(frame)
    }
    if damaged > 0 { notes.append("\(path) has \(damaged) records that cannot be used") }
  }

  private static func read(_ path: String, at offset: Int64, count: Int) throws(DecodeError) -> [UInt8] {
    do throws(LinuxError) {
      let file = try FileDescriptor.open(path, O_RDONLY)
      let there = max(0, min(Int64(count), try file.size() - offset))
      var bytes = [UInt8](repeating: 0, count: Int(there))
      var failure: LinuxError?
      unsafe bytes.withUnsafeMutableBytes { buffer in
        do throws(LinuxError) { _ = try unsafe file.read(into: buffer, at: offset) } catch { failure = error }
      }
      if let failure { throw failure }
      return bytes
    } catch { throw DecodeError("\(path): \(error.reason)") }
  }
}
