import CLinux
package import Quantities

/// Time that only goes on when the thread that owns it waits: a whole session with slow instruments takes as long as it
/// takes to compute. For tests and simulations; no thread of the daemon has one.
///
/// While it is in force on a thread, `MonotonicTime.now`, `sleepThread` and `Monitor.wait` of that thread use it.
@safe
package final class SimulatedClock {
  package private(set) var now: MonotonicTime
  /// What lives in this time; called after each step.
  private let step: (MonotonicTime) -> Void
  private let grain: Seconds

  /// - Parameters:
  ///   - start: the first instant.
  ///   - grain: the longest step that is taken without calling `step`.
  package init(start: MonotonicTime, grain: Seconds = Seconds(0.001), step: @escaping (MonotonicTime) -> Void) {
    now = start
    self.grain = grain
    self.step = step
  }

  /// Runs `body` in this time, on the calling thread.
  package func run<Result, E: Error>(_ body: () throws(E) -> Result) throws(E) -> Result {
    let before = unsafe clinux_thread_clock()
    unsafe clinux_set_thread_clock(Unmanaged.passUnretained(self).toOpaque())
    defer { unsafe clinux_set_thread_clock(before) }
    return try body()
  }

  /// Lets time pass.
  package func advance(by span: Seconds) {
    let end = now + max(.zero, span)
    while now < end {
      now = min(end, now + grain)
      step(now)
    }
  }

  /// The clock in force on the calling thread; nil for the real one.
  static var current: SimulatedClock? {
    guard let pointer = unsafe clinux_thread_clock() else { return nil }
    return unsafe Unmanaged<SimulatedClock>.fromOpaque(pointer).takeUnretainedValue()
  }

  /// Waits for `body` in this time; the world goes on a grain at a time.
  func wait<Result>(atMost span: Seconds, for body: () -> Result?) -> Result? {
    let end = now + max(.zero, span)
    while true {
      if let result = body() { return result }
      guard now < end else { return nil }
      advance(by: min(grain, end - now))
    }
  }
}
