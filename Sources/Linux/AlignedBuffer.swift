import Glibc

/// Memory aligned to 4096 bytes, as `O_DIRECT` wants it; freed when it goes out of scope.
@safe
package struct AlignedBuffer: ~Copyable, @unchecked Sendable {
  package static let alignment = 4096
  package let bytes: UnsafeMutableRawBufferPointer

  private static let largePage = 2 << 20

  /// - Parameters:
  ///   - count: rounded up to a multiple of the alignment; the memory is zeroed.
  ///   - onLargePages: asks the kernel for pages of 2 MiB: a transfer of them costs it a fraction of the time.
  package init(count: Int, onLargePages: Bool = false) {
    let size = (count + Self.alignment - 1) / Self.alignment * Self.alignment
    unsafe bytes = .allocate(byteCount: size, alignment: onLargePages ? Self.largePage : Self.alignment)
    // A wish: where there are none, ordinary pages do.
    if onLargePages { unsafe _ = madvise(bytes.baseAddress, size, MADV_HUGEPAGE) }
    unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit { unsafe bytes.deallocate() }
}
