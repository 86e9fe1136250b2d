import Glibc
import Linux

/// What is in the two files of a segment, whether or not it was ended properly.
package struct SegmentContents: Sendable {
  /// Largest index that is read: 32 million frames in one segment.
  private static let mostIndexBytes = 2 << 30

  package let camera: RunCamera
  package let number: Int
  package let path: String
  package let indexPath: String
  /// nil with a `headerProblem` when the header cannot be read.
  package let header: MRCHeader?
  package let headerProblem: String?
  /// Size of the `.mrc`; nil when there is none.
  package let fileBytes: Int64?
  /// Size of the `.idx`; nil when there is none.
  package let indexBytes: Int64?
  /// One for each 64 bytes of the index; nil where the checksum is wrong or the record is of another place.
  package let records: [IndexRecord?]

  package init(_ files: FrameFiles, _ number: Int) throws(RunStoreError) {
    self.number = number
    camera = files.camera
    path = files.pixelsPath(number)
    indexPath = files.indexPath(number)
    fileBytes = FileSystem.size(of: path)
    indexBytes = FileSystem.size(of: indexPath)
    do throws(LinuxError) {
      records = indexBytes == nil ? [] : Self.records(try FileSystem.read(indexPath, limit: Self.mostIndexBytes))
      let start = fileBytes == nil ? [] : try Self.start(of: path)
      do throws(RunStoreError) {
        header = try MRCHeader(start)
        headerProblem = nil
      } catch {
        header = nil
        headerProblem = error.description
      }
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

  private static func records(_ bytes: [UInt8]) -> [IndexRecord?] {
    unsafe bytes.withUnsafeBytes { all in
      (0..<all.count / IndexRecord.byteCount).map { ordinal in
        let place = ordinal * IndexRecord.byteCount
        let record = unsafe IndexRecord(
          UnsafeRawBufferPointer(rebasing: all[place..<place + IndexRecord.byteCount]))
        return record.flatMap { Int($0.ordinal) == ordinal ? $0 : nil }
      }
    }
  }

  /// What people call it.
  package var name: String { camera.id == 0 ? "segment \(number)" : "segment \(number) of \(camera.name)" }

  /// Bytes after the last whole record of the index.
  package var indexTail: Int { Int(indexBytes ?? 0) % IndexRecord.byteCount }

  /// Frames whose pixels are entirely on the file; nil when the header does not say how large a frame is.
  package var wholeFrames: Int? {
    guard let header, let fileBytes else { return nil }
    return Int(max(0, fileBytes - Int64(MRCHeader.byteCount)) / Int64(header.shape.bytes))
  }

  package func offset(ofFrame ordinal: Int) -> Int64 {
    Int64(MRCHeader.byteCount) + Int64(ordinal) * Int64(header?.shape.bytes ?? 0)
  }

  /// The frames that can be read: a good record, and all pixels on the file.
  package var frames: [StoredFrame] {
    records.prefix(wholeFrames ?? 0).enumerated().compactMap { ordinal, record in
      record.map { StoredFrame(record: $0, segment: number, offsetBytes: offset(ofFrame: ordinal)) }
    }
  }
}
