import Glibc
package import Quantities

/// State that threads share, with a condition to wait on.
///
/// A pthread lock of our own: `Synchronization.Mutex` gives false positives under Thread Sanitizer on Linux.
/// Never held over I/O.
@safe
package final class Monitor<State>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var state: State

  package init(_ state: State) {
    unsafe mutex = .allocate(capacity: 1)
    unsafe condition = .allocate(capacity: 1)
    unsafe pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    unsafe pthread_cond_init(condition, &attributes)
    unsafe pthread_condattr_destroy(&attributes)
    self.state = state
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// Runs `body` with the state locked, then wakes every waiter.
  package func update<Result, E: Error>(_ body: (inout State) throws(E) -> Result) throws(E) -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer {
      unsafe pthread_cond_broadcast(condition)
      unsafe pthread_mutex_unlock(mutex)
    }
    return try body(&state)
  }

  /// Runs `body` with the state locked and wakes nobody.
  package func read<Result, E: Error>(_ body: (borrowing State) throws(E) -> Result) throws(E) -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return try body(state)
  }

  /// Waits until `body` gives a value or `span` is over; nil then.
  package func wait<Result>(atMost span: Seconds, for body: (inout State) -> Result?) -> Result? {
    if let clock = SimulatedClock.current { return clock.wait(atMost: span) { update { body(&$0) } } }
    var end = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &end)
    let total = Int64(end.tv_nsec) + max(0, span.nanoseconds)
    end.tv_sec += Int(total / 1_000_000_000)
    end.tv_nsec = Int(total % 1_000_000_000)

    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while true {
      if let result = body(&state) { return result }
      if unsafe pthread_cond_timedwait(condition, mutex, &end) == ETIMEDOUT { return body(&state) }
    }
  }
}
