import Glibc
import Linux

/// What is in the two files of a segment, whether or not it was ended properly.
package struct SegmentContents: Sendable {
  /// Largest index that is read: 32 million frames in one segment.
  private static let mostIndexBytes = 2 << 30

  package let camera: RunCamera
  package let number: Int
  package let format: SegmentFormat
  package let path: String
  package let indexPath: String
  /// nil with a `headerProblem` when the header cannot be read.
  package let header: SegmentHeader?
  package let headerProblem: String?
  /// Size of the file of pixels; nil when there is none.
  package let fileBytes: Int64?
  /// Size of the `.idx`; nil when there is none.
  package let indexBytes: Int64?
  /// One for each record of the index; nil where the checksum is wrong or the record is of another place.
  package let entries: [StoredFrame?]

  package init(_ files: FrameFiles, _ number: Int) throws(RunStoreError) {
    self.number = number
    camera = files.camera
    format = FileSystem.exists(files.pixelsPath(number, .compressed)) ? .compressed : .plain
    path = files.pixelsPath(number, format)
    indexPath = files.indexPath(number)
    fileBytes = FileSystem.size(of: path)
    indexBytes = FileSystem.size(of: indexPath)
    do throws(LinuxError) {
      let start = fileBytes == nil ? [] : try Self.start(of: path)
      do throws(RunStoreError) {
        header = try SegmentHeader(start, format)
        headerProblem = nil
      } catch {
        header = nil
        headerProblem = error.description
      }
      let index = indexBytes == nil ? [] : try FileSystem.read(indexPath, limit: Self.mostIndexBytes)
      entries = Self.entries(index, header, number, format)
    } catch {
      throw RunStoreError(error)
    }
  }

  private static func start(of path: String) throws(LinuxError) -> [UInt8] {
    let file = try FileDescriptor.open(path, O_RDONLY)
    let buffer = AlignedBuffer(count: MRCHeader.byteCount)
    let count = unsafe try file.read(into: buffer.bytes, at: 0)
    return unsafe Array(buffer.bytes[..<count])
  }

  private static func entries(_ bytes: [UInt8], _ header: SegmentHeader?, _ number: Int, _ format: SegmentFormat)
    -> [StoredFrame?]
  {
    let each = format.recordBytes
    return unsafe bytes.withUnsafeBytes { all in
      (0..<all.count / each).map { ordinal in
        let record = unsafe UnsafeRawBufferPointer(rebasing: all[ordinal * each..<(ordinal + 1) * each])
        let entry = unsafe StoredFrame(record, header, segment: number, as: format)
        return entry.flatMap { Int($0.record.ordinal) == ordinal ? $0 : nil }
      }
    }
  }

  /// What people call it.
  package var name: String { camera.id == 0 ? "segment \(number)" : "segment \(number) of \(camera.name)" }

  /// What the index says of the frames, without their places.
  package var records: [IndexRecord?] { entries.map { $0?.record } }
  /// Bytes after the last whole record of the index.
  package var indexTail: Int { Int(indexBytes ?? 0) % format.recordBytes }

  /// Frames whose pixels are entirely on the file, as far as can be known; nil when the header cannot be read.
  package var wholeFrames: Int? {
    guard let header, let fileBytes else { return nil }
    switch format {
    case .plain: return Int(max(0, fileBytes - Int64(SegmentHeader.byteCount)) / Int64(header.shape.bytes))
    case .compressed: return (entries.lastIndex { $0 != nil && $0!.end <= fileBytes } ?? -1) + 1
    }
  }

  /// Where a frame begins; for the one after the last, where that ends. In a compressed segment a frame without a good record
  /// begins where the last good one before it ends.
  package func offset(ofFrame ordinal: Int) -> Int64 {
    let first = Int64(SegmentHeader.byteCount)
    if format == .plain { return first + Int64(ordinal) * Int64(header?.shape.bytes ?? 0) }
    if ordinal < entries.count, let entry = entries[ordinal] { return entry.offsetBytes }
    return entries.prefix(ordinal).last { $0 != nil }??.end ?? first
  }

  /// The frames that can be read: a good record, and all pixels on the file.
  package var frames: [StoredFrame] { entries.prefix(wholeFrames ?? 0).compactMap(\.self) }

  /// Index in the segment of a frame that the database knows.
  func ordinal(of row: StoredFrame) -> Int {
    if format == .plain {
      return Int((row.offsetBytes - Int64(SegmentHeader.byteCount)) / Int64(max(1, header?.shape.bytes ?? 1)))
    }
    guard let known = entries.first(where: { $0 != nil })??.record else { return Int(row.record.ordinal) }
    return Int(row.record.position) - Int(known.position) + Int(known.ordinal)
  }
}
