import Glibc

/// Memory aligned to 4096 bytes, as `O_DIRECT` wants it; freed when it goes out of scope.
@safe
package struct AlignedBuffer: ~Copyable, @unchecked Sendable {
  package static let alignment = 4096
  package let bytes: UnsafeMutableRawBufferPointer

  /// - Parameter count: rounded up to a multiple of the alignment; the memory is zeroed.
  package init(count: Int) {
    let size = (count + Self.alignment - 1) / Self.alignment * Self.alignment
    unsafe bytes = .allocate(byteCount: size, alignment: Self.alignment)
    unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit { unsafe bytes.deallocate() }
}
