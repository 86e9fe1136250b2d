import Glibc
import Linux
import Quantities
import Testing

@Suite("Transfers that end later")
struct FileQueueTests {
  private func file() throws -> FileDescriptor {
    var template = Array("/tmp/insitud-queue-XXXXXX".utf8CString)
    let number = mkstemp(&template)
    guard number >= 0 else { throw LinuxError("mkstemp") }
    unlink(template)
    return FileDescriptor(owning: number)
  }

  private func take(_ queue: any FileQueue, _ count: Int) -> [UInt64: Int] {
    var results: [UInt64: Int] = [:]
    for _ in 0..<count {
      guard let completion = queue.next(atMost: Seconds(10)) else { break }
      results[completion.tag] = completion.result
    }
    return results
  }

  @Test(
    "what is written through a queue is read back through it, in this kernel's way and in the other",
    arguments: [true, false])
  func transfers(isBlocking: Bool) throws {
    let queue: any FileQueue = isBlocking ? BlockingFileQueue(limit: 8) : makeFileQueue(limit: 8)
    let file = try file()
    let source = AlignedBuffer(count: 8 << 16)
    for k in 0..<source.bytes.count { source.bytes[k] = UInt8(truncatingIfNeeded: k >> 8 &+ k) }
    let target = AlignedBuffer(count: 8 << 16)
    func part(_ k: Int) -> Range<Int> { k << 16..<(k + 1) << 16 }
    for k in 0..<8 {
      queue.write(
        [UnsafeRawBufferPointer(rebasing: source.bytes[part(k)])], to: file.number, at: Int64(k << 16), tag: UInt64(k))
    }
    #expect(take(queue, 8) == Dictionary(uniqueKeysWithValues: (0..<8).map { (UInt64($0), 1 << 16) }))
    queue.synchronizeData(of: file.number, tag: 99)
    #expect(take(queue, 1) == [99: 0])
    for k in 0..<8 {
      queue.read(
        into: UnsafeMutableRawBufferPointer(rebasing: target.bytes[part(k)]), from: file.number, at: Int64(k << 16),
        tag: UInt64(k))
    }
    #expect(take(queue, 8).values.allSatisfy { $0 == 1 << 16 })
    #expect(memcmp(source.bytes.baseAddress!, target.bytes.baseAddress!, 8 << 16) == 0)
    #expect(queue.next(atMost: Seconds(0)) == nil)
  }

  @Test("a transfer that fails says why, and the next one is not touched", arguments: [true, false])
  func failure(isBlocking: Bool) throws {
    let queue: any FileQueue = isBlocking ? BlockingFileQueue(limit: 4) : makeFileQueue(limit: 4)
    let file = try file()
    let bytes = AlignedBuffer(count: 4096)
    queue.write([UnsafeRawBufferPointer(bytes.bytes)], to: -1, at: 0, tag: 1)
    queue.write([UnsafeRawBufferPointer(bytes.bytes)], to: file.number, at: 0, tag: 2)
    #expect(take(queue, 2) == [1: -Int(EBADF), 2: 4096])
    queue.read(into: bytes.bytes, from: file.number, at: 4096, tag: 3)
    #expect(take(queue, 1) == [3: 0])
  }
}
