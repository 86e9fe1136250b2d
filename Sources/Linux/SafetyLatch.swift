/// Whoever makes the cell safe sets it, whatever their thread; as long as it is set, nothing that is under way may switch
/// anything on.
package final class SafetyLatch: Sendable {
  private struct State {
    var isSet = false
    var settings: UInt64 = 0
  }

  /// A moment as the latch knows it: how often it had been set.
  package struct Moment: Hashable, Sendable {
    fileprivate let settings: UInt64
  }

  private let state = Monitor(State())

  package init() {}
  package var isSet: Bool { state.read { $0.isSet } }
  package var now: Moment { Moment(settings: state.read { $0.settings }) }

  package func set() {
    state.update {
      $0.isSet = true
      $0.settings += 1
    }
  }

  package func release() { state.update { $0.isSet = false } }

  /// Releases it unless somebody has set it since that moment.
  /// - Returns: whether it is released.
  package func release(unlessSetSince moment: Moment) -> Bool {
    state.update {
      guard $0.settings == moment.settings else { return false }
      $0.isSet = false
      return true
    }
  }
}
