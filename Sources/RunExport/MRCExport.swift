internal import Glibc
internal import Linux
internal import Quantities
internal import RunStore
internal import SQLite

/// The frames of a run, of every camera, as segments of plain MRC2014 with their index (docs/files.md), whether they were
/// compressed or not. Each frame is checked against its checksum on the way.
struct MRCExport {
  /// Segments are no larger (docs/decisions/0005).
  private static let segmentBytes: Int64 = 2_000_000_000

  private let directory: String

  init(_ directory: String) { self.directory = directory }

  func write(to path: String) throws(ExportError) -> [String] {
    guard let run = RunDirectory(existing: directory) else { throw .notFound(directory: directory) }
    let target = path.hasSuffix("/") ? String(path.dropLast()) : path
    do throws(LinuxError) { try FileSystem.makeDirectories(target) } catch { throw ExportError(error, writing: target) }
    try refuseFrames(in: target)
    let part = target + "/.part-\(run.id)"
    defer { Self.remove(part) }
    Self.remove(part)
    do throws(LinuxError) { try FileSystem.makeDirectories(part) } catch { throw ExportError(error, writing: part) }
    for camera in try cameras(of: run) { try write(FrameFiles(run, camera), to: FrameFiles(in: part, camera)) }
    return try give(part, target)
  }

  /// Frames that are there already are of another run, or of this one: nothing is replaced, and nothing is mixed.
  private func refuseFrames(in target: String) throws(ExportError) {
    let names: [String]
    do throws(LinuxError) { names = try FileSystem.list(target) } catch { throw ExportError(error, writing: target) }
    guard let name = names.first(where: { $0.hasPrefix("frames-") || $0 == "run.sqlite" }) else { return }
    throw .cannotWrite(path: target, reason: "\(name) is there already")
  }

  private func cameras(of run: RunDirectory) throws(ExportError) -> [RunCamera] {
    let database: RunDatabase
    do throws(RunStoreError) { database = try RunDatabase.open(run, .readOnly) } catch { throw damaged(error) }
    do throws(DatabaseError) { return try database.cameras() } catch {
      throw ExportError(error, reading: run.databasePath)
    }
  }

  private func write(_ source: FrameFiles, to target: FrameFiles) throws(ExportError) {
    var segments: [SegmentContents] = []
    do throws(RunStoreError) {
      for number in try source.segments() { segments.append(try SegmentContents(source, number)) }
    } catch { throw damaged(error) }
    var settings = SegmentSettings()
    settings.segmentBytes = Self.segmentBytes
    settings.note = segments.first?.header?.note ?? ""
    let writer = SegmentWriter(target, settings)
    for contents in segments where !contents.entries.isEmpty { try copy(contents, to: writer) }
    do throws(SegmentError) { try writer.close() } catch { throw .cannotWrite(path: error.path, reason: error.reason) }
  }

  private func copy(_ contents: SegmentContents, to writer: SegmentWriter) throws(ExportError) {
    let reader: SegmentReader
    do throws(RunStoreError) { reader = try SegmentReader(contents) } catch { throw damaged(error) }
    let shape = reader.header.shape
    let buffer = AlignedBuffer(count: shape.bytes, onLargePages: true)
    let pixels = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<shape.bytes])
    for frame in contents.frames {
      do throws(RunStoreError) {
        unsafe try reader.read(frame, into: pixels)
        guard unsafe crc32c(UnsafeRawBufferPointer(pixels)) == frame.record.pixelCRC else {
          throw RunStoreError(
            .damaged, "\(contents.path): the pixels of frame \(frame.record.position) have changed: wrong checksum")
        }
      } catch { throw damaged(error) }
      do throws(SegmentError) {
        unsafe try writer.append(RecordedFrame(frame.record, shape), UnsafeRawBufferPointer(pixels), at: .now)
        while writer.framesReleased < writer.framesHandedOver { try writer.reap(waitingAtMost: Seconds(1)) }
      } catch { throw .cannotWrite(path: error.path, reason: error.reason) }
    }
  }

  /// Gives the files their place, when all are whole.
  private func give(_ part: String, _ target: String) throws(ExportError) -> [String] {
    var paths: [String] = []
    do throws(LinuxError) {
      for name in try FileSystem.list(part) {
        let path = "\(target)/\(name)"
        guard FileSystem.rename("\(part)/\(name)", to: path) else { throw LinuxError("rename", path) }
        paths.append(path)
      }
    } catch { throw ExportError(error, writing: target) }
    return paths
  }

  private static func remove(_ part: String) {
    for name in (try? FileSystem.list(part)) ?? [] { FileSystem.remove("\(part)/\(name)") }
    unsafe _ = rmdir(part)
  }

  private func damaged(_ error: RunStoreError) -> ExportError {
    .damaged(path: directory, reason: error.description)
  }
}
