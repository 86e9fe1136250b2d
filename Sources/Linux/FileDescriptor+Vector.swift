import CLinux
import Glibc

extension FileDescriptor {
  /// Writes `first` and then `second` at `offset` with one pwritev(2), so that a reader sees both or neither as long as the
  /// kernel takes them whole.
  package borrowing func write(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, at offset: Int64)
    throws(LinuxError)
  {
    guard let a = first.baseAddress, let b = second.baseAddress else {
      unsafe try write(first, at: offset)
      unsafe try write(second, at: offset + Int64(first.count))
      return
    }
    var done: Int
    repeat {
      done = unsafe clinux_write_two(number, a, first.count, b, second.count, offset)
    } while done < 0 && errno == EINTR
    if done < 0 { throw LinuxError("pwritev") }
    if done < first.count {
      unsafe try write(UnsafeRawBufferPointer(rebasing: first[done...]), at: offset + Int64(done))
      done = first.count
    }
    let rest = unsafe UnsafeRawBufferPointer(rebasing: second[(done - first.count)...])
    unsafe try write(rest, at: offset + Int64(done))
  }

  /// Gives `O_DIRECT` up for an open file; false when the kernel refuses.
  package borrowing func useCache() -> Bool { clinux_use_cache(number) == 0 }
}
