import Linux
import Testing

@testable import RunStore

@Suite("Reading a file from end to end")
struct SequentialReaderTests {
  @Test(
    "every byte comes once and in order, whatever the size",
    arguments: [0, 1, 4096, 4 << 20, 17 << 20 + 4097, 33 << 20],
    [true, false])
  func inOrder(size: Int, direct: Bool) throws {
    let temporary = try TemporaryData(onDisk: true)
    let path = temporary.data.path + "/file"
    // Not made without initializing it: of no bytes, the standard library would write into what all empty arrays share.
    var expected = [UInt8](repeating: 0, count: size)
    expected.withUnsafeMutableBytes { buffer in
      for k in 0..<size { buffer[k] = UInt8(truncatingIfNeeded: k ^ k >> 8 ^ k >> 16) }
    }
    try FileSystem.replace(path, with: expected)
    let reader = try SequentialReader(path, direct: direct)
    #expect(reader.size == Int64(size))
    var all: [UInt8] = []
    while true {
      let piece = try reader.next()
      if piece.isEmpty { break }
      all += piece
    }
    #expect(all == expected)
  }

  @Test("a file that shrinks while it is read ends early, and one that is not there is an error")
  func shrinking() throws {
    let temporary = try TemporaryData(onDisk: true)
    let path = temporary.data.path + "/file"
    try FileSystem.replace(path, with: [UInt8](repeating: 7, count: 40 << 20))
    let reader = try SequentialReader(path)
    var count = try reader.next().count
    try cut(path, to: 30 << 20)
    while case let piece = try reader.next(), !piece.isEmpty { count += piece.count }
    #expect(count >= 30 << 20 && count <= 40 << 20)
    #expect(throws: LinuxError.self) { _ = try SequentialReader(path + "-not") }
  }
}
