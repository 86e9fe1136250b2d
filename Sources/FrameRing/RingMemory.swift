import Glibc
import Linux

/// What memory a ring was given, in words for the log. What could not be had is said with its remedy, and is never fatal.
package struct RingMemory: Equatable, Sendable, CustomStringConvertible {
  /// What is wished for.
  package enum Wish: Sendable {
    /// Huge pages where there are any, locked.
    case best
    /// Pages of 4 KiB; for rings beside the one that is recorded.
    case ordinary
  }

  package enum Pages: Equatable, Sendable {
    /// Of a hugetlbfs, set aside for this ring.
    case huge(count: Int, bytes: Int)
    /// Of shared memory, so many bytes of so many in huge pages.
    case transparent(bytes: Int, of: Int)
    /// - Parameter why: and the remedy; nil where nothing better was wished for.
    case small(why: String?)
  }

  package internal(set) var pages: Pages
  /// Why it may be swapped out, and the remedy; nil: it is locked.
  package internal(set) var notLocked: String?

  package var description: String {
    let text =
      switch pages {
      case .huge(let count, let bytes): "\(count) huge pages of \(Self.size(bytes))"
      case .transparent(let bytes, let all): "\(Self.size(bytes)) of \(Self.size(all)) in transparent huge pages"
      case .small(let why?): "pages of 4 KiB: \(why)"
      case .small(nil): "pages of 4 KiB"
      }
    return text + (notLocked.map { "; not locked: \($0)" } ?? "; locked")
  }

  /// "64 MiB"; whole KiB below one.
  static func size(_ bytes: Int) -> String { bytes >= 1 << 20 ? "\(bytes >> 20) MiB" : "\(bytes >> 10) KiB" }
}

/// Makes the memory of a ring: on huge pages where there are any, locked, and touched throughout, so that no frame pays for the
/// kernel's first look at a page.
struct RingMemoryMaker {
  static let page = 4096
  /// Of a transparent huge page on the processors this runs on.
  static let transparentPage = 2 << 20
  /// Files of the kernel; others in tests.
  var mounts = "/proc/mounts"
  var transparent = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

  /// - Parameter path: of the file; with huge pages of a hugetlbfs it is a symbolic link to the file there.
  func make(
    _ path: String, size: Int, wish: RingMemory.Wish
  ) throws(LinuxError) -> (mapping: SharedMapping, memory: RingMemory) {
    FrameRing.remove(path)
    var reasons: [String] = []
    var (mapping, pages): (SharedMapping?, RingMemory.Pages) = (nil, .small(why: nil))
    if wish == .best {
      if size < Self.transparentPage {
        reasons.append("the ring is smaller than a huge page")
      } else if let made = huge(path, size, &reasons) {
        (mapping, pages) = made
      } else {
        mapping = try populated(path, size, &reasons)
        let bytes = mapping.map { Self.hugeBytes(of: $0) } ?? 0
        if bytes > 0 { pages = .transparent(bytes: bytes, of: size) }
        if mapping != nil, bytes == 0 { reasons.append("the kernel had no transparent huge pages for \(path)") }
      }
      if pages == .small(why: nil) { pages = .small(why: reasons.joined(separator: "; ")) }
    }
    let got: SharedMapping
    if let mapping { got = mapping } else { got = try Self.touched(path, size) }
    return (got, RingMemory(pages: pages, notLocked: wish == .best ? Self.lock(got) : "not wished for"))
  }

  // MARK: Huge pages of a hugetlbfs

  private struct Mount {
    var point: String
    var kind: String
    var options: [Substring]
  }

  private var allMounts: [Mount] {
    guard let bytes = try? FileSystem.read(mounts) else { return [] }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count > 3 else { return nil }
      return Mount(point: String(fields[1]), kind: String(fields[2]), options: fields[3].split(separator: ","))
    }
  }

  private func huge(
    _ path: String, _ size: Int, _ reasons: inout [String]
  ) -> (mapping: SharedMapping, pages: RingMemory.Pages)? {
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let needed = (size + Self.transparentPage - 1) / Self.transparentPage
    let remedy = "sysctl vm.nr_hugepages=\(needed) and a hugetlbfs that this user may write to"
    var problems: [String] = []
    for mount in allMounts where mount.kind == "hugetlbfs" {
      let file = "\(mount.point)/\(name)"
      do throws(LinuxError) {
        FileSystem.remove(file)
        let mapping = try SharedMapping.create(file, size: size, roundedToBlocks: true)
        do throws(LinuxError) {
          do throws(LinuxError) { try mapping.populate() } catch {
            // A kernel before 5.14. The pages are reserved: touching them cannot fail.
            guard error.number == EINVAL else { throw error }
            Self.touch(mapping)
          }
          try FileSystem.link(path, to: file)
        } catch {
          FileSystem.remove(file)
          throw error
        }
        let block = mapping.blockBytes
        return (mapping, .huge(count: unsafe mapping.bytes.count / block, bytes: block))
      } catch {
        let areTooFew = error.number == ENOMEM || error.number == EFAULT
        problems.append(areTooFew ? "too few are free at \(mount.point)" : "\(error)")
      }
    }
    let what = problems.isEmpty ? "no hugetlbfs is mounted" : problems.joined(separator: ", ")
    reasons.append("no huge pages of their own (\(what); \(remedy))")
    return nil
  }

  // MARK: Transparent ones

  /// Pages are asked for before the file has any: what posix_fallocate(3) gives is small.
  private func populated(_ path: String, _ size: Int, _ reasons: inout [String]) throws(LinuxError) -> SharedMapping? {
    if let problem = whyNotTransparent(path) {
      reasons.append(problem)
      return nil
    }
    let mapping = try SharedMapping.create(path, size: size, alignment: Self.transparentPage)
    mapping.adviseHugePages()
    do throws(LinuxError) { try mapping.populate() } catch {
      // A kernel before 5.14, or too little memory behind the file: the ordinary way finds out, and says so.
      FileSystem.remove(path)
      reasons.append("\(error)")
      return nil
    }
    return mapping
  }

  /// Why a file there gets no huge pages, and the remedy; nil when it may get some. What a tmpfs gives is an option of its
  /// mount; the kernel's own setting can only overrule it.
  private func whyNotTransparent(_ path: String) -> String? {
    let setting = ((try? FileSystem.read(transparent)).map { String(decoding: $0, as: UTF8.self) }) ?? ""
    if setting.contains("[force]") { return nil }
    if setting.contains("[deny]") { return "\(transparent) is “deny”; write never into it" }
    let mount = allMounts.last { path.hasPrefix($0.point == "/" ? "/" : $0.point + "/") && $0.kind != "hugetlbfs" }
    guard let mount, mount.kind == "tmpfs" else { return "\(path) is not in shared memory" }
    guard !mount.options.contains(where: { ["huge=advise", "huge=always", "huge=within_size"].contains($0) }) else {
      return nil
    }
    return "\(mount.point) is mounted without huge pages; mount -o remount,huge=advise \(mount.point)"
  }

  /// Bytes of the mapping that are in huge pages, as the kernel says.
  private static func hugeBytes(of mapping: SharedMapping) -> Int {
    guard let bytes = try? FileSystem.read("/proc/self/smaps") else { return 0 }
    let start = unsafe UInt(bitPattern: mapping.bytes.baseAddress)
    let end = unsafe start + UInt(mapping.bytes.count)
    var isWithin = false
    var kilobytes = 0
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
      let word = line.prefix { $0 != " " }
      if let dash = word.firstIndex(of: "-"), let first = UInt(word[..<dash], radix: 16) {
        isWithin = first >= start && first < end
      } else if isWithin, word == "ShmemPmdMapped:" || word == "FilePmdMapped:" {
        kilobytes += line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
      }
    }
    return kilobytes << 10
  }

  // MARK: Small pages, and locking

  private static func touched(_ path: String, _ size: Int) throws(LinuxError) -> SharedMapping {
    let mapping = try SharedMapping.create(path, size: size)
    touch(mapping)
    return mapping
  }

  private static func touch(_ mapping: SharedMapping) {
    for offset in unsafe stride(from: 0, to: mapping.bytes.count, by: page) {
      unsafe mapping.bytes.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self)
    }
  }

  /// Why it could not be locked; nil when it is.
  private static func lock(_ mapping: SharedMapping) -> String? {
    do throws(LinuxError) {
      try mapping.lock()
      return nil
    } catch {
      let bytes = unsafe mapping.bytes.count
      return "\(error.reason); let the daemon lock \(RingMemory.size(bytes)) (LimitMEMLOCK=infinity, or ulimit -l)"
    }
  }
}
