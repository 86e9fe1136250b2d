import FrameRing
import Glibc
import Linux
import Testing

@Suite("Frame ring files that are wrong")
struct FrameRingErrorTests {
  let file = RingFile()

  @Test("Sizes that cannot be made are refused with the limits", arguments: [(0, 16), (4, 0), (4, 1 << 40)])
  func impossibleSizes(slots: Int, bytes: Int) {
    #expect(throws: FrameRingError.impossibleSize(path: file.path, slots: slots, slotBytes: bytes)) {
      try FrameRing.create(file.path, slots: slots, slotBytes: bytes)
    }
  }

  @Test("A file that is not there is named")
  func missing() {
    #expect(throws: FrameRingError.system(LinuxError("open", file.path, number: ENOENT))) {
      try FrameRing.open(file.path, writable: false)
    }
  }

  @Test("Another file is not taken for a ring, long or short", arguments: [10, 100_000])
  func notARing(size: Int) throws {
    try FileSystem.replace(file.path, with: [UInt8](repeating: 65, count: size))
    #expect(throws: FrameRingError.notARing(path: file.path)) { try FrameRing.open(file.path, writable: false) }
  }

  @Test("Another layout version is named")
  func version() throws {
    _ = try FrameRing.create(file.path, slots: 2, slotBytes: 16)
    try file.patch([9, 0, 0, 0], at: 8)
    #expect(throws: FrameRingError.otherVersion(path: file.path, found: 9, understood: 1)) {
      try FrameRing.open(file.path, writable: false)
    }
  }

  @Test(
    "A header that the file does not bear out is refused",
    arguments: [(12, [3, 0, 0, 0]), (12, [0, 0, 0, 0]), (16, [255, 255]), (24, [1])] as [(Int64, [UInt8])])
  func contradiction(offset: Int64, bytes: [UInt8]) throws {
    _ = try FrameRing.create(file.path, slots: 2, slotBytes: 16)
    try file.patch(bytes, at: offset)
    let error = #expect(throws: FrameRingError.self) { try FrameRing.open(file.path, writable: false) }
    guard case .contradiction = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(error?.description.contains("restart its writer") == true)
  }

  @Test("A file cut short is refused")
  func cut() throws {
    _ = try FrameRing.create(file.path, slots: 2, slotBytes: 16)
    try FileDescriptor.open(file.path, O_RDWR).truncate(to: 8192)
    let error = #expect(throws: FrameRingError.self) { try FrameRing.open(file.path, writable: false) }
    #expect(error?.description.contains("8192 bytes long where 20480 are needed") == true)
  }

  @Test(
    "A slot whose fields contradict each other gives no pixels",
    arguments: [
      (60, [7, 0, 0, 0]), (64, [9, 0, 0, 0]), (64, [255, 255, 255, 255, 255, 255, 255, 255]), (72, [1]),
    ] as [(Int64, [UInt8])])
  func malformedSlot(offset: Int64, bytes: [UInt8]) throws {
    let ring = try FrameRing.create(file.path, slots: 2, slotBytes: 16)
    ring.put(0, filledWith: 3)
    try file.patch(bytes, at: 4096 + offset)
    let seen = ring.read(0) { header, pixels in (header.flags, pixels.count) }
    #expect(seen?.0 == .malformed)
    #expect(seen?.1 == 0)
    let buffer = AlignedBuffer(count: 16)
    #expect(ring.copy(0, into: buffer.bytes) == nil)
  }
}
