import Glibc
import Linux
import Quantities
import Testing

@testable import FrameRing

/// Huge pages set aside and a hugetlbfs of our own for the time of one test; put back at its end.
private final class HugePages {
  static let count = "/proc/sys/vm/nr_hugepages"
  let mount: String
  private let before: String

  /// Why they cannot be had here; nil when they can.
  static let problem: String? = {
    guard geteuid() == 0 else { return "only root can set huge pages aside" }
    guard let pages = try? HugePages(8) else { return "no hugetlbfs can be mounted here" }
    return pages.free >= 8 ? nil : "the kernel sets no huge pages aside"
  }()

  init(_ pages: Int) throws {
    before = String(decoding: try FileSystem.read(Self.count), as: UTF8.self)
    mount = "/tmp/insitud-huge-\(getpid())-\(String(UInt64.random(in: 0 ... .max), radix: 16))"
    try FileSystem.makeDirectories(mount)
    guard Glibc.mount("none", mount, "hugetlbfs", 0, "pagesize=2M") == 0 else {
      rmdir(mount)
      throw LinuxError("mount", mount)
    }
    Self.write("\(pages)\n")
  }

  deinit {
    umount(mount)
    rmdir(mount)
    Self.write(before)
  }

  private static func write(_ text: String) {
    guard let file = try? FileDescriptor.open(count, O_WRONLY) else { return }
    Array(text.utf8).withUnsafeBytes { bytes in try? file.write(bytes, at: 0) }
  }

  /// Pages that nobody has or has reserved.
  var free: Int {
    func count(_ key: String) -> Int {
      let text = (try? FileSystem.read("/proc/meminfo")).map { String(decoding: $0, as: UTF8.self) } ?? ""
      let line = text.split(separator: "\n").first { $0.hasPrefix(key) }
      return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    }
    return count("HugePages_Free:") - count("HugePages_Rsvd:")
  }
}

/// A line of /proc/self/smaps of the mapping that begins at an address, kB.
private func smaps(_ mapping: SharedMapping, _ key: String) -> Int? {
  let address = String(UInt(bitPattern: mapping.bytes.baseAddress), radix: 16)
  guard let bytes = try? FileSystem.read("/proc/self/smaps") else { return nil }
  let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").drop { !$0.hasPrefix(address + "-") }
  return lines.first { $0.hasPrefix(key) }?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
}

/// Under a sanitizer mlock(2) does nothing and says that it did.
private let locksForReal: Bool = {
  guard let file = try? SharedMapping.create("/dev/shm/insitud-locks-\(getpid())", size: 4096) else { return true }
  defer { FileSystem.remove(file.path) }
  guard mlock(file.bytes.baseAddress!, 4096) == 0 else { return true }
  return smaps(file, "Locked:") == 4
}()

@Suite("The memory of a ring", .serialized)
struct RingMemoryTests {
  let file = RingFile()
  private static let size = 8 << 20

  /// Makers before a kernel of our own words.
  private func maker(mounts: String = "", transparent: String) throws -> RingMemoryMaker {
    try FileSystem.replace(file.path + ".mounts", with: Array(mounts.utf8))
    try FileSystem.replace(file.path + ".transparent", with: Array(transparent.utf8))
    return RingMemoryMaker(mounts: file.path + ".mounts", transparent: file.path + ".transparent")
  }

  private func forget() { for name in [".mounts", ".transparent"] { FileSystem.remove(file.path + name) } }

  @Test("What is said of transparent huge pages and of locking is what the kernel says")
  func transparent() throws {
    defer { forget() }
    let maker = try maker(mounts: "tmpfs /dev/shm tmpfs rw,huge=advise 0 0\n", transparent: "[never]")
    let (mapping, memory) = try maker.make(file.path, size: Self.size, wish: .best)
    #expect(mapping.bytes.allSatisfy { $0 == 0 } && mapping.bytes.count == Self.size)
    let huge = (smaps(mapping, "ShmemPmdMapped:") ?? 0) + (smaps(mapping, "FilePmdMapped:") ?? 0)
    #expect(smaps(mapping, "Rss:") == Self.size >> 10, "every page was touched")
    if locksForReal {
      #expect((memory.notLocked == nil) == (smaps(mapping, "Locked:") == Self.size >> 10))
    }
    switch memory.pages {
    case .transparent(let bytes, let all):
      #expect(bytes == huge << 10 && bytes > 0 && all == Self.size)
      #expect(memory.description.hasPrefix("\(bytes >> 20) MiB of 8 MiB in transparent huge pages"))
    case .small(let why): #expect(huge == 0 && why?.isEmpty == false)
    case .huge: Issue.record("no hugetlbfs was shown")
    }
    print("ring memory here: \(memory)")
  }

  @Test(
    "Where shared memory has huge pages when asked, a ring gets them",
    .enabled(if: geteuid() == 0, "only root can mount shared memory that has huge pages"))
  func advised() throws {
    let place = "/tmp/insitud-advised-\(getpid())"
    try FileSystem.makeDirectories(place)
    defer { rmdir(place) }
    try #require(mount("none", place, "tmpfs", 0, "huge=advise") == 0)
    defer { umount2(place, Int32(MNT_DETACH)) }
    let text = String(decoding: try FileSystem.read("/proc/mounts"), as: UTF8.self)
    let own = text.split(separator: "\n").filter { !$0.contains("hugetlbfs") }.joined(separator: "\n")
    defer { forget() }
    let maker = try maker(mounts: own, transparent: "[never]")
    let (mapping, memory) = try maker.make(place + "/ring", size: Self.size, wish: .best)
    #expect(memory.pages == .transparent(bytes: Self.size, of: Self.size), "\(memory)")
    #expect(smaps(mapping, "ShmemPmdMapped:") == Self.size >> 10)
    #expect(memory.description.hasPrefix("8 MiB of 8 MiB in transparent huge pages"))
  }

  @Test("Where there are no huge pages at all, that is said with the remedies, and the ring works")
  func none() throws {
    defer { forget() }
    let maker = try maker(mounts: "tmpfs /dev/shm tmpfs rw 0 0\n", transparent: "[never]\n")
    let (mapping, memory) = try maker.make(file.path, size: Self.size, wish: .best)
    #expect(smaps(mapping, "Rss:") == Self.size >> 10)
    let text = memory.description
    let first = "pages of 4 KiB: no huge pages of their own (no hugetlbfs is mounted; sysctl vm.nr_hugepages=4"
    #expect(text.hasPrefix(first), "\(text)")
    #expect(text.contains("/dev/shm is mounted without huge pages; mount -o remount,huge=advise /dev/shm"))
  }

  @Test("A ring smaller than a huge page takes none, and one that wishes for nothing gets nothing")
  func small() throws {
    let small = try FrameRing.create(file.path, slots: 4, slotBytes: 16)
    #expect(small.memory?.pages == .small(why: "the ring is smaller than a huge page"))
    let ordinary = try FrameRing.create(file.path, slots: 4, slotBytes: 1 << 20, memory: .ordinary)
    #expect(ordinary.memory?.pages == .small(why: nil))
    #expect(try FrameRing.open(file.path, writable: false).memory == nil)
  }

  @Test("More than the file system holds is an error, not a killed process")
  func tooLarge() throws {
    let maker = RingMemoryMaker(mounts: "/dev/null")
    let error = #expect(throws: LinuxError.self) { try maker.make(file.path, size: 1 << 46, wish: .best) }
    #expect([ENOSPC, ENOMEM, EFBIG].contains(error?.number), "\(String(describing: error))")
    #expect(!FileSystem.exists(file.path))
  }

  @Test(
    "A ring lies on huge pages of a hugetlbfs, is found by its usual path, and gives them back",
    .enabled(if: HugePages.problem == nil, "\(HugePages.problem ?? "")"))
  func huge() throws {
    defer { forget() }
    let pages = try HugePages(8)
    let maker = try maker(mounts: "none \(pages.mount) hugetlbfs rw 0 0\n", transparent: "[never]")
    let before = pages.free
    do {
      let (mapping, memory) = try maker.make(file.path, size: 5 << 20, wish: .best)
      #expect(memory.pages == .huge(count: 3, bytes: 2 << 20))
      #expect(memory.description.hasPrefix("3 huge pages of 2 MiB"))
      #expect(mapping.bytes.count == 6 << 20 && mapping.path.hasPrefix(pages.mount + "/"))
      #expect(pages.free == before - 3)
      #expect(FileSystem.target(of: file.path) == mapping.path)
      mapping.bytes[5 << 20] = 77
      let found = try SharedMapping.open(FrameRing.resolved(file.path), writable: false)
      #expect(found.bytes[5 << 20] == 77)
    }
    // Nobody has it mapped any more, as after kill -9: it is still there.
    #expect(pages.free == before - 3)
    FrameRing.remove(file.path)
    #expect(pages.free == before)
    #expect(!FileSystem.exists(file.path))
  }

  @Test(
    "With too few huge pages free the ring is made elsewhere, and says so",
    .enabled(if: HugePages.problem == nil, "\(HugePages.problem ?? "")"))
  func tooFew() throws {
    defer { forget() }
    let pages = try HugePages(2)
    let maker = try maker(mounts: "none \(pages.mount) hugetlbfs rw 0 0\n", transparent: "[never]")
    let (mapping, memory) = try maker.make(file.path, size: Self.size, wish: .best)
    #expect(mapping.path == file.path)
    #expect(memory.description.contains("too few are free at \(pages.mount); sysctl vm.nr_hugepages=4"))
    #expect(try FileSystem.list(pages.mount).isEmpty)
  }
}
