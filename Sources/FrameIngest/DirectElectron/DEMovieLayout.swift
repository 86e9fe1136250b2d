import DEMessaging

/// Where things are in a movie buffer: the answer to GET_MOVIE_BUFFER_INFO (camera-streams.md §4).
struct DEMovieLayout: Equatable {
  static let mostHeaderBytes = 16 << 20
  static let mostSide = 65535
  static let mostFrames = 65536
  /// Bytes of the index of a frame.
  static let indexBytes = 8

  /// The pixels begin behind so many bytes.
  var headerBytes: Int
  /// Pixels in a whole buffer.
  var pixelBytes: Int
  var indexStart: Int
  var width: Int
  var height: Int
  var framesInBuffer: Int
  var pixels: DEPixels

  var frameBytes: Int { width * height * pixels.bytes }

  init(_ values: [DEValue]) throws(DecodeError) {
    let numbers = values.compactMap(\.integer)
    guard numbers.count >= 8, numbers.count == values.count else { throw DecodeError("not eight whole numbers") }
    // The fourth, where the images start, is the same as the first in all published programs; they go by the first.
    (headerBytes, pixelBytes, indexStart) = (numbers[0], numbers[1], numbers[2])
    (width, height, framesInBuffer) = (numbers[4], numbers[5], numbers[6])
    guard let pixels = DEPixels(rawValue: numbers[7]) else { throw DecodeError("pixels of type \(numbers[7])") }
    self.pixels = pixels
    guard 1...Self.mostSide ~= width, 1...Self.mostSide ~= height else {
      throw DecodeError("frames of \(width) × \(height)")
    }
    guard 0...Self.mostHeaderBytes ~= headerBytes, 1...Self.mostFrames ~= framesInBuffer,
      indexStart >= 0, indexStart <= headerBytes - framesInBuffer * Self.indexBytes
    else {
      throw DecodeError(
        "\(framesInBuffer) frames with their index at \(indexStart) of a header of \(headerBytes) bytes")
    }
    guard pixelBytes >= framesInBuffer * frameBytes else {
      throw DecodeError("\(pixelBytes) bytes for \(framesInBuffer) frames of \(width) × \(height)")
    }
  }

  /// Bytes behind the last frame of a buffer that says it has so many in all.
  func surplus(totalBytes: Int, frames: Int) throws(DecodeError) -> Int {
    guard 0...framesInBuffer ~= frames else {
      throw DecodeError("a movie buffer of \(frames) frames, where at most \(framesInBuffer) were announced")
    }
    let used = headerBytes + frames * frameBytes
    guard totalBytes >= used, totalBytes <= headerBytes + pixelBytes else {
      throw DecodeError("a movie buffer of \(totalBytes) bytes for \(frames) frames of \(width) × \(height)")
    }
    return totalBytes - used
  }

  /// The number of frame k of a buffer, from its header; nil when it cannot be one.
  func frameNumber(_ k: Int, _ header: UnsafeRawBufferPointer) -> UInt64? {
    let at = indexStart + k * Self.indexBytes
    let number = unsafe Int64(littleEndian: header.loadUnaligned(fromByteOffset: at, as: Int64.self))
    guard number >= 0, number < Int64(mostFrameNumber) else { return nil }
    return UInt64(number)
  }
}
