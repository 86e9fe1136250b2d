package import Quantities
import Synchronization

/// Where one thread sleeps until another has something for it. Ringing takes no lock and no system call while nobody
/// sleeps.
package final class Doorbell: Sendable {
  private let isAsleep = Atomic(false)
  private let isRung = Monitor(false)

  package init() {}

  /// To be called after what the sleeper waits for was stored.
  package func ring() {
    // This fence and the one in `wait` face each other: either this thread sees that somebody sleeps, or the sleeper sees
    // what was stored before. Relaxed is enough beside them.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    if isAsleep.load(ordering: .relaxed) { isRung.update { $0 = true } }
  }

  /// Looks until `body` gives a value, and sleeps between two looks; nil when `span` is over. For one thread.
  package func wait<Result>(atMost span: Seconds, for body: () -> Result?) -> Result? {
    if let found = body() { return found }
    let end = MonotonicTime.now + span
    isAsleep.store(true, ordering: .relaxed)
    defer { isAsleep.store(false, ordering: .relaxed) }
    while true {
      atomicMemoryFence(ordering: .sequentiallyConsistent)
      if let found = body() { return found }
      let left = end - .now
      guard left.value > 0 else { return nil }
      _ = isRung.wait(atMost: left) { isRung -> Bool? in
        defer { isRung = false }
        return isRung ? true : nil
      }
    }
  }
}
