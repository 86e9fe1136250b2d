import CLinux
import Glibc
import Linux

/// What other threads tell the thread of a mock, and what that tells them.
final class HostSignals: Sendable {
  enum Message: Sendable {
    case cable(Int, isPlugged: Bool)
    case end
  }

  private struct State {
    var messages: [Message] = []
    var nodes: [Int: DeviceNode] = [:]
    var openHandles = 0
  }

  private let state = Monitor(State())
  private let event: FileDescriptor

  init() throws(LinuxError) {
    let number = clinux_eventfd()
    guard number >= 0 else { throw LinuxError("eventfd") }
    event = FileDescriptor(owning: number)
  }

  /// Readable after `wake` until `takeMessages`.
  var descriptor: Int32 { event.number }

  func tell(_ message: Message) {
    state.update { state in
      // From now on nothing goes to the device through what is still open of it.
      if case .cable(let index, isPlugged: false) = message { state.nodes[index]?.markGone() }
      state.messages.append(message)
    }
    wake()
  }

  func wake() {
    var one: UInt64 = 1
    unsafe _ = write(event.number, &one, 8)
  }

  func takeMessages() -> [Message] {
    var count: UInt64 = 0
    unsafe _ = read(event.number, &count, 8)
    return state.update { state in
      defer { state.messages = [] }
      return state.messages
    }
  }

  /// The device at `index` as it is plugged in now.
  func set(_ node: DeviceNode?, at index: Int) { state.update { $0.nodes[index] = node } }

  var openHandles: Int { state.read { $0.openHandles } }
  func set(openHandles: Int) { state.update { $0.openHandles = openHandles } }
}
