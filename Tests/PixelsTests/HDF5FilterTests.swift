import Glibc
import Linux
import Pixels
import Testing

/// Names a python that has the packages of Tests/requirements.txt.
private let python = getenv("INSITUD_PYTHON").map { String(cString: $0) }

@Suite(
  "Frame compression and HDF5's bitshuffle filter",
  .enabled(if: python != nil, "INSITUD_PYTHON names no python with h5py and hdf5plugin"))
struct HDF5FilterTests {
  @Test("The filter reads our blobs as chunks, and we read its chunks")
  func chunks() throws {
    let directory = "/tmp/insitud-chunks-\(getpid())"
    try FileSystem.makeDirectories(directory)
    defer {
      for name in (try? FileSystem.list(directory)) ?? [] { FileSystem.remove("\(directory)/\(name)") }
      rmdir(directory)
    }
    // Several blocks and a last one that is not full; pixels that fill no group of eight; less than a block.
    let types = [PixelType.u8, .u16, .u32]
    var frames: [(type: PixelType, bytes: [UInt8])] = []
    for count in [100_003, 513] {
      for type in types {
        var numbers = Numbers(seed: UInt64(count))
        let pixels = (0..<count).map { _ in UInt32(truncatingIfNeeded: numbers.next() >> 62) }
        frames.append((type, wire(pixels, type, isBigEndian: false)))
      }
    }
    for (number, (type, bytes)) in frames.enumerated() {
      let name = type == .u8 ? "u1" : type.numpyName
      try FileSystem.replace("\(directory)/\(number).\(name).raw", with: bytes)
      for method in [FrameCompression.bslz4, .bszstd] {
        var compressor = FrameCompressor(method)
        let blob = compress(bytes, type, &compressor)
        try FileSystem.replace("\(directory)/\(number).\(method.rawValue)", with: try #require(blob))
      }
    }
    let tests = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
    let pipe = try #require(popen("\(python!) \(tests)/bitshuffle_chunks.py \(directory)", "r"))
    var said = ""
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, 4096, pipe) != nil {
      said += String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    #expect(pclose(pipe) == 0)
    #expect(said == frames.indices.map { "\($0) bslz4 same\n\($0) bszstd same\n" }.joined())
    var decompressor = FrameDecompressor()
    for (number, (type, bytes)) in frames.enumerated() {
      for method in [FrameCompression.bslz4, .bszstd] {
        let theirs = try FileSystem.read("\(directory)/\(number).\(method.rawValue).theirs")
        let isSame = try decompress(theirs, bytes.count, type, method, &decompressor) == bytes
        #expect(isSame, "\(number) \(method.rawValue)")
      }
    }
  }
}
