import CLibUSB
import Glibc
import Linux
import Quantities

/// A libusb context and the one thread that handles its events.
///
/// The thread ends the context itself, after its last event: no handle is closed and no context ended under its feet.
@safe
final class LibUSBEventLoop: @unchecked Sendable {
  /// Something that must not be done inside one of libusb's callbacks.
  typealias Afterwards = @Sendable () -> Void

  private struct State {
    var isEnding = false
    var thread: pthread_t?
    var afterwards: [Afterwards] = []
  }

  /// How long one turn waits when nothing happens; `libusb_interrupt_event_handler` ends it earlier.
  private static let turn = 60

  let context: OpaquePointer
  private let state = Monitor(State())
  private var thread: NamedThread?

  init(owning context: OpaquePointer) {
    unsafe self.context = context
    thread = nil
  }

  /// Begins to handle events. The thread keeps this object, not the one that ends it.
  /// - Parameter keeping: what libusb's callbacks are given a bare pointer to; kept until the context is gone.
  func start(keeping registry: LibUSBRegistry) {
    thread = NamedThread("usb") { withExtendedLifetime(registry) { self.run() } }
  }

  private func run() {
    state.update { $0.thread = pthread_self() }
    while true {
      // Looked at under the lock in which `end` interrupts: the context cannot be gone by then.
      let (isEnding, afterwards) = state.update { state in
        defer { state.afterwards = [] }
        return (state.isEnding, state.afterwards)
      }
      for work in afterwards { work() }
      if isEnding && afterwards.isEmpty { break }
      var span = timeval(tv_sec: isEnding || !afterwards.isEmpty ? 0 : Self.turn, tv_usec: 0)
      var completed: Int32 = 0
      let code = unsafe libusb_handle_events_timeout_completed(context, &span, &completed)
      // A failure that comes back at once must not take the processor.
      if code != 0 && code != LIBUSB_ERROR_INTERRUPTED.rawValue { sleepThread(for: Seconds(0.01)) }
    }
    unsafe libusb_exit(context)
  }

  /// True inside libusb's callbacks, where nobody may wait for events.
  var isCurrentThread: Bool {
    state.read { state in state.thread.map { pthread_equal($0, pthread_self()) != 0 } ?? false }
  }

  /// Does `work` now, or outside of libusb's callback when this is one.
  func perform(outsideOfCallbacks work: @escaping Afterwards) {
    guard isCurrentThread else { return work() }
    state.update { state in
      state.afterwards.append(work)
      unsafe libusb_interrupt_event_handler(context)
    }
  }

  /// Ends the thread and the context; returns when both are gone, unless it is called on that very thread.
  func end() {
    state.update { state in
      state.isEnding = true
      unsafe libusb_interrupt_event_handler(context)
    }
    if !isCurrentThread { thread?.join() }
  }
}
