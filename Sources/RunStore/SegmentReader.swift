import Glibc
import Linux
import Pixels

/// Gives the pixels of single frames of a segment, plain or compressed, in any order. Used by one thread.
@safe
package final class SegmentReader {
  package let header: SegmentHeader
  private let path: String
  private let file: FileDescriptor
  private var decoder: StoredFrameDecoder
  private var blob = AlignedBuffer(count: 0)

  /// - Parameter frames: of which file; its header must be readable.
  package init(_ contents: SegmentContents) throws(RunStoreError) {
    guard let header = contents.header else {
      throw RunStoreError(.damaged, "\(contents.path): \(contents.headerProblem ?? "is missing")")
    }
    self.header = header
    path = contents.path
    decoder = StoredFrameDecoder(header.shape, from: contents.path)
    do throws(LinuxError) {
      file = try FileDescriptor.open(contents.path, O_RDONLY)
    } catch {
      throw RunStoreError(error)
    }
    _ = posix_fadvise(file.number, 0, 0, POSIX_FADV_SEQUENTIAL)
  }

  /// Reads the pixels of one frame; whether they are those that were recorded, its checksum says.
  /// - Parameter pixels: `header.shape.bytes` of them.
  package func read(_ frame: StoredFrame, into pixels: UnsafeMutableRawBufferPointer) throws(RunStoreError) {
    guard pixels.count == header.shape.bytes else {
      throw RunStoreError(.damaged, "\(path): frames have \(header.shape.bytes) bytes of pixels, not \(pixels.count)")
    }
    try StoredFrameDecoder.checkSize(of: frame, header.shape, in: path)
    guard let method = frame.encoding.method else { return unsafe try fill(pixels, from: frame) }
    if unsafe blob.bytes.count < frame.storedBytes { blob = AlignedBuffer(count: pixels.count) }
    let stored = unsafe UnsafeMutableRawBufferPointer(rebasing: blob.bytes[..<frame.storedBytes])
    unsafe try fill(stored, from: frame)
    unsafe try decoder.decode(UnsafeRawBufferPointer(stored), of: frame, method, into: pixels)
  }

  private func fill(_ bytes: UnsafeMutableRawBufferPointer, from frame: StoredFrame) throws(RunStoreError) {
    let count: Int
    do throws(LinuxError) {
      count = unsafe try file.read(into: bytes, at: frame.offsetBytes)
    } catch {
      throw RunStoreError(LinuxError(error.call, path, number: error.number))
    }
    guard count == bytes.count else { throw StoredFrameDecoder.cutShort(frame, after: count, in: path) }
  }
}
