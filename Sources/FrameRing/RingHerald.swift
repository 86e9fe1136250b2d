import CLinux
import Linux
import Quantities

/// The thread "herald" of whoever made a ring: it looks whether frames were published and wakes who waits for them, so that
/// the thread that receives frames makes no system call for it.
///
/// While frames come it looks every 0.2 ms, but for the first half of the time in which the last ones came: looking is what it
/// costs. When none come it waits longer and longer, a 32nd of the time for which none came and 20 ms at most, so
/// that an idle ring costs nothing. It ends with the last reference.
final class RingHerald: Sendable {
  static let shortestLook = Seconds(0.0002)
  static let longestLook = Seconds(0.02)
  /// The share of a silence that may pass before its end is noticed.
  private static let share = 1.0 / 32
  /// No frame is looked for so soon after one, in shares of the shorter one of the last two periods: a frame that is late makes
  /// one period longer and the next one shorter. At most for so long.
  private static let restShare = 0.5
  private static let longestRest = Seconds(0.005)

  private struct State {
    var isRoused = false
    var isClosing = false
  }

  private let state: Monitor<State>
  private let thread: NamedThread

  /// - Parameter mapping: of a ring that is new; kept as long as the thread runs.
  init(_ mapping: SharedMapping) {
    let state = Monitor(State())
    self.state = state
    thread = NamedThread("herald") { Self.run(state, mapping) }
  }

  deinit {
    state.update { $0.isClosing = true }
    thread.join()
  }

  /// Frames are about to come: looks at once, and often.
  func rouse() { state.update { $0.isRoused = true } }

  private static func run(_ state: Monitor<State>, _ mapping: SharedMapping) {
    let published = unsafe SharedWord(mapping.bytes.baseAddress! + FrameRing.publishedOffset)
    // The futex word is the low half of `published`, little-endian.
    let word = unsafe UnsafePointer<UInt32>(
      (mapping.bytes.baseAddress! + FrameRing.publishedOffset).assumingMemoryBound(to: UInt32.self))
    // Nothing was published when the thread was made, whenever it comes to run.
    var seen: UInt64 = 0
    var since = MonotonicTime.now
    var rest = Seconds(0)
    var lastPeriod = Seconds(0)
    while true {
      let span = max(rest, min(max((MonotonicTime.now - since) * share, shortestLook), longestLook))
      rest = Seconds(0)
      let isClosing = state.wait(atMost: span) { state -> Bool? in
        if state.isClosing { return true }
        guard state.isRoused else { return nil }
        state.isRoused = false
        return false
      }
      if isClosing == true { return }
      if isClosing == false { since = .now }
      // Relaxed: only whether it changed is asked for; who is woken loads it with acquiring order.
      let now = published.loadRelaxed()
      guard now != seen else { continue }
      seen = now
      let time = MonotonicTime.now
      let period = time - since
      since = time
      rest = min(min(period, lastPeriod) * restShare, longestRest)
      lastPeriod = period
      unsafe clinux_futex_wake(word)
    }
  }
}
