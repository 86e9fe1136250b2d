import Linux
import Pixels

/// Makes the pixels of a segment's frames out of the bytes that are stored of them. Used by one thread.
struct StoredFrameDecoder: ~Copyable {
  let shape: FrameShape
  /// Of the file they are from.
  let path: String
  private var decompressor = FrameDecompressor()

  init(_ shape: FrameShape, from path: String) {
    self.shape = shape
    self.path = path
  }

  /// A frame as it came has the bytes of its pixels, a compressed one fewer.
  static func checkSize(of frame: StoredFrame, _ shape: FrameShape, in path: String) throws(RunStoreError) {
    guard frame.encoding.method != nil else {
      guard frame.storedBytes == shape.bytes else {
        throw damaged(frame, "has \(frame.storedBytes) instead of \(shape.bytes) bytes", in: path)
      }
      return
    }
    guard 0 < frame.storedBytes, frame.storedBytes < shape.bytes else {
      throw damaged(frame, "has \(frame.storedBytes) bytes, and its pixels are \(shape.bytes)", in: path)
    }
  }

  /// Checks the stored bytes of a compressed frame and decompresses them.
  /// - Parameter pixels: `shape.bytes` of them.
  mutating func decode(
    _ stored: UnsafeRawBufferPointer, of frame: StoredFrame, _ method: FrameCompression,
    into pixels: UnsafeMutableRawBufferPointer
  ) throws(RunStoreError) {
    if let expected = frame.storedCRC, unsafe crc32c(stored) != expected {
      throw Self.damaged(frame, "has changed: wrong checksum of its stored bytes", in: path)
    }
    guard let type = PixelType(rawValue: UInt32(shape.bytesPerPixel)) else {
      throw Self.damaged(frame, "has no type", in: path)
    }
    do throws(FrameDecompressionError) {
      unsafe try decompressor.decompress(stored, method, type, into: pixels)
    } catch {
      throw Self.damaged(frame, "cannot be decompressed: \(error)", in: path)
    }
  }

  static func cutShort(_ frame: StoredFrame, after count: Int, in path: String) -> RunStoreError {
    damaged(frame, "ends after \(count) of \(frame.storedBytes) bytes", in: path)
  }

  private static func damaged(_ frame: StoredFrame, _ what: String, in path: String) -> RunStoreError {
    RunStoreError(.damaged, "\(path): frame \(frame.record.position) \(what)")
  }
}
