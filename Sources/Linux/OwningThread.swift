package import Quantities

/// A thread that owns something nobody else touches: others hand it work, and between pieces of work it ticks.
///
/// Threads own, queues carry: an instrument's driver lives here and needs no lock.
package final class OwningThread<Owned>: @unchecked Sendable {
  private typealias Work = @Sendable (Owned) -> Void

  private struct State {
    var work: [Work] = []
    var ending = false
  }

  private enum Answer<R> { case waiting, abandoned, given(R) }

  private let state = Monitor(State())
  private let pulse = ThreadPulse()
  private var thread: NamedThread?

  /// The most pieces of work that may wait.
  package static var limit: Int { 256 }

  /// - Parameters:
  ///   - interval: how long after one tick the next is due, whatever work comes in between; asked after every turn.
  ///   - make: makes what is owned, on the thread itself.
  package init(
    _ name: String, interval: @escaping @Sendable (Owned) -> Seconds, make: @escaping @Sendable () -> Owned,
    tick: @escaping @Sendable (Owned) -> Void
  ) {
    let state = state
    let pulse = pulse
    thread = NamedThread(name) {
      pulse.run { Self.turn(make(), state, pulse, interval, tick) }
    }
  }

  private static func turn(
    _ owned: Owned, _ state: Monitor<State>, _ pulse: ThreadPulse, _ interval: (Owned) -> Seconds,
    _ tick: (Owned) -> Void
  ) {
    var nextTick = MonotonicTime.now + interval(owned)
    while true {
      let next = state.wait(atMost: nextTick - .now) { state -> Work?? in
        if !state.work.isEmpty { return .some(state.work.removeFirst()) }
        return state.ending ? .some(nil) : nil
      }
      switch next {
      case .some(.some(let work)): work(owned)
      case .some(.none): return
      case .none: break
      }
      // Due also between pieces of work: many questions must not keep a heartbeat from beating.
      if MonotonicTime.now >= nextTick {
        tick(owned)
        nextTick = .now + interval(owned)
      } else {
        nextTick = min(nextTick, .now + interval(owned))
      }
      pulse.beat()
    }
  }

  /// Hands over work without waiting for it. Urgent work is done before all that waits.
  /// - Returns: false when too much waits already, or the thread is ending.
  @discardableResult
  package func post(urgently: Bool = false, _ work: @escaping @Sendable (Owned) -> Void) -> Bool {
    state.update { state in
      guard !state.ending, state.work.count < Self.limit || urgently else { return false }
      if urgently { state.work.insert(work, at: 0) } else { state.work.append(work) }
      return true
    }
  }

  /// Hands over work and waits for its result; nil when it did not end within `limit`. Work that has not begun by then is
  /// not done any more: what nobody waits for must not happen later, when it may be wrong.
  /// - Parameter evenWhenLate: it is done all the same: right at any time, as opening an output is.
  package func run<R: Sendable>(
    within limit: Seconds, urgently: Bool = false, evenWhenLate: Bool = false, _ work: @escaping @Sendable (Owned) -> R
  ) -> R? {
    let answer = Monitor<Answer<R>>(.waiting)
    let taken = post(urgently: urgently) { owned in
      guard evenWhenLate || answer.read({ if case .abandoned = $0 { false } else { true } }) else { return }
      let result = work(owned)
      answer.update { $0 = .given(result) }
    }
    guard taken else { return nil }
    let result = answer.wait(atMost: limit) { if case .given(let result) = $0 { result } else { nil } }
    if result == nil { answer.update { if case .waiting = $0 { $0 = .abandoned } } }
    return result
  }

  /// Turns of the loop, and what long work got done in between: standing still means that the thread hangs.
  package var beats: UInt64 { pulse.beats }

  /// Does what waits, then ends and waits for the end.
  package func end() {
    state.update { $0.ending = true }
    thread?.join()
  }
}
