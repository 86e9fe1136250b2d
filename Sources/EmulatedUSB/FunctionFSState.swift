import Glibc
import Linux
import Quantities

/// What the threads of one `FunctionFSFront` share.
final class FunctionFSState: Sendable {
  private struct State {
    var isEnabled = false
    var isStopping = false
    /// How often the host has emptied the device; packets from before are not sent any more.
    var clears: UInt64 = 0
    var nextTag: UInt64 = 1
    /// Threads that may sit in a system call, and since which clear.
    var blocked: [pthread_t: UInt64] = [:]
  }

  private let state = Monitor(State())

  /// How often a waiting thread looks whether it should end.
  static let patience = Seconds(0.25)
  /// Between two wake-ups of a thread that sits in a system call, and how many there are at most.
  private static let wakeInterval = Seconds(0.001)
  private static let mostWakes = 2000

  init() {
    // Without SA_RESTART: a read or write that is interrupted takes its packet back and returns.
    var action = sigaction()
    unsafe action.__sigaction_handler.sa_handler = functionFSWakes
    unsafe sigaction(SIGUSR1, &action, nil)
  }

  var isEnabled: Bool { state.read { $0.isEnabled } }
  var isStopping: Bool { state.read { $0.isStopping } }
  var clears: UInt64 { state.read { $0.clears } }

  func enable(_ isEnabled: Bool) { state.update { $0.isEnabled = isEnabled } }
  func noteClear() { state.update { $0.clears += 1 } }

  func newTag() -> UInt64 {
    state.update { state in
      defer { state.nextTag += 1 }
      return state.nextTag
    }
  }

  /// False when it is time to look again whether the front is stopping.
  func waitUntilEnabled() -> Bool {
    state.wait(atMost: Self.patience) { $0.isEnabled && !$0.isStopping ? true : nil } ?? false
  }

  /// Runs a system call that may block for long; `clears` says of when its packet is.
  func blocking(since clears: UInt64, _ call: () -> Int) -> (result: Int, error: Int32) {
    let own = pthread_self()
    let isLate = state.update { state in
      state.blocked[own] = clears
      return state.isStopping || state.clears != clears
    }
    defer { state.update { _ = $0.blocked.removeValue(forKey: own) } }
    if isLate { return (-1, EINTR) }
    let result = call()
    return (result, result < 0 ? errno : 0)
  }

  /// Gets threads out of system calls whose packets the host no longer wants.
  func interruptStale() { interrupt { $0.clears != $1 } }

  /// Gets all threads out.
  func stop() {
    state.update { $0.isStopping = true }
    interrupt { _, _ in true }
  }

  /// A signal that comes just before the system call is lost; so they are sent until nobody is left there.
  private func interrupt(_ isMeant: (borrowing State, UInt64) -> Bool) {
    for _ in 0..<Self.mostWakes {
      let isDone = state.update { state in
        var isDone = true
        for (thread, since) in state.blocked where isMeant(state, since) {
          // Under the lock: the thread takes itself out before it ends.
          pthread_kill(thread, SIGUSR1)
          isDone = false
        }
        return isDone
      }
      if isDone { return }
      sleepThread(for: Self.wakeInterval)
    }
  }
}

// A file-scope function: a closure literal given to a C callback inside a type crashes.
private func functionFSWakes(_ signal: Int32) {}
