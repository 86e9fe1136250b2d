import CLinux

/// What a thread has got done, counted: one that stands still hangs.
///
/// Its loop beats with every turn. Work that takes long and gets on, as a voltage ramp does, beats with every piece.
@safe
package final class ThreadPulse: Sendable {
  private let count = Monitor(UInt64(0))

  package init() {}

  package var beats: UInt64 { count.read { $0 } }
  package func beat() { count.update { $0 &+= 1 } }

  /// Makes it that of the calling thread while `body` runs.
  func run(_ body: () -> Void) {
    let before = unsafe clinux_thread_pulse()
    unsafe clinux_set_thread_pulse(Unmanaged.passUnretained(self).toOpaque())
    defer { unsafe clinux_set_thread_pulse(before) }
    body()
  }

  /// Beats for the calling thread; nothing on a thread without a pulse.
  package static func beat() {
    guard let pointer = unsafe clinux_thread_pulse() else { return }
    unsafe Unmanaged<ThreadPulse>.fromOpaque(pointer).takeUnretainedValue().beat()
  }
}
