package import Synchronization

/// Numbers of 64 bits from one thread to one other, in their order, without a lock, a system call or an allocation.
///
/// Nobody waits here: a full ring refuses, an empty one gives nothing. Who looks again at once takes the line of the other
/// thread from it; a few `clinux_pause` between two looks, or a `Doorbell`, make both faster. The members `push` belong to
/// one thread, the members `pop` to one other; all else may be called anywhere.
@safe
package final class HandoverRing: @unchecked Sendable {
  package static let mostCapacity = 1 << 24
  /// Two lines of 64 bytes, because processors fetch them in pairs.
  @usableFromInline static let line = 128

  /// Numbers it holds; a power of two.
  package let capacity: Int
  @usableFromInline let mask: UInt64
  // Each index on a line of its own, beside what its owner saw last of the other one: as long as that is enough, neither
  // thread touches what the other writes. The indices count on and never turn back to 0.
  @usableFromInline let pushed: UnsafeMutablePointer<Atomic<UInt64>>
  @usableFromInline let poppedAsSeen: UnsafeMutablePointer<UInt64>
  @usableFromInline let popped: UnsafeMutablePointer<Atomic<UInt64>>
  @usableFromInline let pushedAsSeen: UnsafeMutablePointer<UInt64>
  @usableFromInline let items: UnsafeMutablePointer<UInt64>

  /// - Parameter capacity: from 1 to `mostCapacity`, rounded up to a power of two.
  package init(capacity: Int) {
    precondition((1...Self.mostCapacity).contains(capacity), "a hand-over ring of \(capacity) numbers")
    var size = 1
    while size < capacity { size *= 2 }
    self.capacity = size
    mask = UInt64(size - 1)
    let bytes = 3 * Self.line + size * 8
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: Self.line)
    // `Atomic<UInt64>` has the layout of its value (see SharedWord in FrameRing).
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    unsafe pushed = memory.assumingMemoryBound(to: Atomic<UInt64>.self)
    unsafe poppedAsSeen = (memory + 8).assumingMemoryBound(to: UInt64.self)
    unsafe popped = (memory + Self.line).assumingMemoryBound(to: Atomic<UInt64>.self)
    unsafe pushedAsSeen = (memory + Self.line + 8).assumingMemoryBound(to: UInt64.self)
    unsafe items = (memory + 2 * Self.line).assumingMemoryBound(to: UInt64.self)
  }

  deinit { unsafe UnsafeMutableRawPointer(pushed).deallocate() }

  /// Numbers inside; while the two threads go on, what is popped during the call may be counted still.
  package var count: Int {
    // Popped first: `pushed`, read afterwards, is not behind it.
    let popped = unsafe popped.pointee.load(ordering: .acquiring)
    return unsafe min(capacity, Int(truncatingIfNeeded: pushed.pointee.load(ordering: .acquiring) &- popped))
  }

  // MARK: The thread that pushes

  /// False when the ring is full.
  @inlinable
  package func push(_ item: UInt64) -> Bool {
    // Relaxed: an index of this thread's own.
    let next = unsafe pushed.pointee.load(ordering: .relaxed)
    guard room(from: next, atLeast: 1) > 0 else { return false }
    unsafe items[Int(truncatingIfNeeded: next & mask)] = item
    // Releasing: with the index comes the number below it.
    unsafe pushed.pointee.store(next &+ 1, ordering: .releasing)
    return true
  }

  /// As many of the numbers as there is room for, published together.
  /// - Returns: how many.
  @inlinable
  package func push(_ items: Span<UInt64>) -> Int {
    let next = unsafe pushed.pointee.load(ordering: .relaxed)
    let count = min(items.count, room(from: next, atLeast: UInt64(items.count)))
    for index in 0..<count {
      unsafe self.items[Int(truncatingIfNeeded: (next &+ UInt64(index)) & mask)] = items[index]
    }
    unsafe pushed.pointee.store(next &+ UInt64(count), ordering: .releasing)
    return count
  }

  /// Numbers for which there is room; looks at the other thread's index only when what was seen of it is not enough.
  @inlinable
  func room(from next: UInt64, atLeast wanted: UInt64) -> Int {
    let seen = unsafe next &- poppedAsSeen.pointee
    if seen &+ wanted <= mask &+ 1 { return Int(truncatingIfNeeded: mask &+ 1 &- seen) }
    // Acquiring: the other thread is done with what it popped.
    unsafe poppedAsSeen.pointee = popped.pointee.load(ordering: .acquiring)
    return unsafe Int(truncatingIfNeeded: mask &+ 1 &- (next &- poppedAsSeen.pointee))
  }

  // MARK: The thread that pops

  /// Nil when the ring is empty.
  @inlinable
  package func pop() -> UInt64? {
    let next = unsafe popped.pointee.load(ordering: .relaxed)
    guard available(from: next) > 0 else { return nil }
    let item = unsafe items[Int(truncatingIfNeeded: next & mask)]
    // Releasing: the number has been read before its place is given back.
    unsafe popped.pointee.store(next &+ 1, ordering: .releasing)
    return item
  }

  /// Gives `body` the numbers that are there, at most `most`, and then their places back together.
  /// - Returns: how many.
  @inlinable
  package func pop(atMost most: Int, _ body: (UInt64) -> Void) -> Int {
    let next = unsafe popped.pointee.load(ordering: .relaxed)
    let count = min(max(0, most), available(from: next))
    for index in 0..<count {
      unsafe body(items[Int(truncatingIfNeeded: (next &+ UInt64(index)) & mask)])
    }
    unsafe popped.pointee.store(next &+ UInt64(count), ordering: .releasing)
    return count
  }

  /// Numbers that are there; looks at the other thread's index only when none is left of what was seen.
  @inlinable
  func available(from next: UInt64) -> Int {
    let seen = unsafe pushedAsSeen.pointee &- next
    if seen > 0 { return Int(truncatingIfNeeded: seen) }
    // Acquiring: with the index come the numbers below it.
    unsafe pushedAsSeen.pointee = pushed.pointee.load(ordering: .acquiring)
    return unsafe Int(truncatingIfNeeded: pushedAsSeen.pointee &- next)
  }
}
