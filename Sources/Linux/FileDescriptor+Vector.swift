import CLinux
import Glibc

extension FileDescriptor {
  /// pwritev(2) takes no more parts at once (`IOV_MAX`).
  package static let mostParts = 1024

  /// Writes all parts, one behind the other, at `offset`: with one pwritev(2), so that a reader sees all or nothing as long
  /// as the kernel takes them whole.
  /// - Parameter parts: at most `mostParts`.
  package borrowing func write(_ parts: [UnsafeRawBufferPointer], at offset: Int64) throws(LinuxError) {
    var done: Int
    repeat {
      done = unsafe withVector(parts) { unsafe clinux_write_parts(number, $0, $1, offset) }
    } while done < 0 && errno == EINTR
    if done < 0 { throw LinuxError("pwritev") }
    var place = offset + Int64(done)
    let rest = unsafe parts.dropping(first: done)
    for k in unsafe rest.indices {
      unsafe try write(rest[k], at: place)
      place += Int64(unsafe rest[k].count)
    }
  }

  /// Gives `O_DIRECT` up for an open file; false when the kernel refuses.
  package borrowing func useCache() -> Bool { clinux_use_cache(number) == 0 }
}

/// At most `FileDescriptor.mostParts` parts, as the kernel wants them.
func withVector<Result>(
  _ parts: [UnsafeRawBufferPointer], _ body: (UnsafePointer<iovec>, Int32) -> Result
) -> Result {
  precondition(unsafe parts.count <= FileDescriptor.mostParts, "more parts than the kernel takes")
  return unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: parts.count) { vector in
    for k in unsafe parts.indices {
      unsafe vector.initializeElement(
        at: k, to: iovec(iov_base: UnsafeMutableRawPointer(mutating: parts[k].baseAddress), iov_len: parts[k].count))
    }
    return unsafe body(UnsafePointer(vector.baseAddress!), Int32(parts.count))
  }
}

extension [UnsafeRawBufferPointer] {
  /// Bytes of all parts.
  package var byteCount: Int { unsafe reduce(0) { $0 + $1.count } }

  /// What is left without the first so many bytes.
  package func dropping(first bytes: Int) -> [UnsafeRawBufferPointer] {
    var left = bytes
    return unsafe compactMap { part in
      let dropped = Swift.min(left, part.count)
      left -= dropped
      return dropped == part.count ? nil : unsafe UnsafeRawBufferPointer(rebasing: part[dropped...])
    }
  }

  /// The first so many bytes alone.
  package func prefix(bytes: Int) -> [UnsafeRawBufferPointer] {
    var left = bytes
    return unsafe compactMap { part in
      let taken = Swift.min(left, part.count)
      left -= taken
      return taken == 0 ? nil : unsafe UnsafeRawBufferPointer(rebasing: part[..<taken])
    }
  }
}
