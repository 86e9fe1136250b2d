import Synchronization

/// An atomic 64-bit word in memory that processes share. `Atomic<UInt64>` has the layout of its value, so that a
/// pointer to the word is a pointer to the atomic. Valid as long as the mapping is.
@safe
struct SharedWord {
  private let storage: UnsafePointer<Atomic<UInt64>>

  /// - Parameter address: aligned to 8 bytes.
  @unsafe
  init(_ address: UnsafeMutableRawPointer) {
    unsafe storage = UnsafePointer(address.assumingMemoryBound(to: Atomic<UInt64>.self))
  }

  // Each use says why its order is enough. Functions by name, because an ordering must be a constant.
  @inline(__always) func loadRelaxed() -> UInt64 { unsafe storage.pointee.load(ordering: .relaxed) }
  @inline(__always) func loadAcquiring() -> UInt64 { unsafe storage.pointee.load(ordering: .acquiring) }
  @inline(__always) func storeRelaxed(_ value: UInt64) { unsafe storage.pointee.store(value, ordering: .relaxed) }
  @inline(__always) func storeReleasing(_ value: UInt64) { unsafe storage.pointee.store(value, ordering: .releasing) }
}
