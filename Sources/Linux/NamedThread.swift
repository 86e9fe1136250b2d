import CLinux
import Glibc

/// A thread of our own for work that blocks. It runs `body` once; `join` waits for its end.
package final class NamedThread: @unchecked Sendable {
  private var handle = pthread_t()
  private let joined = Monitor(false)

  private final class Start {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  /// - Parameter name: at most 15 bytes, shown by `ps -L` and `top -H`.
  package init(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let start = unsafe Unmanaged.passRetained(Start(name: name, body: body)).toOpaque()
    let failure = unsafe pthread_create(&handle, nil, runNamedThread, start)
    precondition(failure == 0, "pthread_create failed: \(failure)")
  }

  deinit { if !joined.read({ $0 }) { pthread_detach(handle) } }

  /// Waits for the thread's end. Calling it again returns at once.
  package func join() {
    let first = joined.update { done in
      defer { done = true }
      return !done
    }
    if first { _ = pthread_join(handle, nil) }
  }

  fileprivate static func run(_ argument: UnsafeMutableRawPointer) {
    let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
    unsafe start.name.withCString { unsafe clinux_name_thread($0) }
    start.body()
  }
}

// A file-scope function: a closure literal given to a C callback inside a type crashes (style.md).
private func runNamedThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  if let argument = unsafe argument { unsafe NamedThread.run(argument) }
  return nil
}
