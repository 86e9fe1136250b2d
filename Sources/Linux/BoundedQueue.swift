package import Quantities

/// A queue between threads with a named limit. A full queue refuses, and counts what it refused.
package final class BoundedQueue<Element>: Sendable {
  private struct State {
    var items: [Element] = []
    var head = 0
    var refused: UInt64 = 0
    var closed = false
    var count: Int { items.count - head }
  }

  private let monitor = Monitor(State())
  package let limit: Int

  package init(limit: Int) { self.limit = limit }

  /// False when the queue is full or closed; the refusal is counted.
  @discardableResult
  package func push(_ element: sending Element) -> Bool {
    monitor.update { state in
      guard !state.closed, state.count < limit else {
        state.refused += 1
        return false
      }
      state.items.append(element)
      return true
    }
  }

  /// The next element, or nil when none came within `span` or the queue is closed and empty.
  package func pop(atMost span: Seconds) -> Element? {
    let answer = monitor.wait(atMost: span) { state -> Element?? in
      guard state.count > 0 else { return state.closed ? .some(nil) : nil }
      let element = state.items[state.head]
      state.head += 1
      if state.head == state.items.count || state.head > 4096 {
        state.items.removeFirst(state.head)
        state.head = 0
      }
      return .some(element)
    }
    return answer ?? nil
  }

  /// Everything that is there now, without waiting.
  package func drain() -> [Element] {
    monitor.update { state in
      let rest = Array(state.items[state.head...])
      state.items = []
      state.head = 0
      return rest
    }
  }

  /// Nothing more is taken in; what is inside can still be taken out.
  package func close() { monitor.update { $0.closed = true } }

  package var isClosed: Bool { monitor.read { $0.closed } }
  /// Closed, and everything has been taken out.
  package var isDone: Bool { monitor.read { $0.closed && $0.count == 0 } }

  package var count: Int { monitor.read { $0.count } }
  package var refused: UInt64 { monitor.read { $0.refused } }
}
