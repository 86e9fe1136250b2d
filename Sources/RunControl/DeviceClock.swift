package import Alignment
import Linux
import Quantities

/// What is known of one device's clock: the latest comparisons with ours, for `devices` and the streams. The run's own
/// record keeps those of the whole run.
package final class DeviceClock: Sendable {
  /// Pairs kept; when there are more, every second of the older half is let go.
  private static let limit = 8192

  private struct State {
    var thinner = ClockThinner()
    var pairs: [ClockPair] = []
    var model: ClockModel?
  }

  package let device: String
  private let state = Monitor(State())

  package init(_ device: String) { self.device = device }

  /// - Returns: the pairs worth keeping.
  func add(_ new: [ClockPair]) -> [ClockPair] {
    state.update { state in
      let kept = state.thinner.add(new)
      // A clock that goes backwards was set anew: what was known of it is void.
      if let last = state.pairs.last, let first = kept.first, first.deviceNanoseconds < last.deviceNanoseconds {
        state.pairs = []
      }
      state.pairs += kept
      if state.pairs.count > Self.limit {
        let half = state.pairs.count / 2
        state.pairs = stride(from: 0, to: half, by: 2).map { state.pairs[$0] } + state.pairs[half...]
      }
      return kept
    }
  }

  /// Fits what is there; nil with too few pairs.
  package func model() -> ClockModel? { ClockFit.fit(pairs: state.read { $0.pairs }) }
  /// The model as it was last fitted; `refit` is called every few seconds.
  var latest: ClockModel? { state.read { $0.model } }
  func refit() {
    let model = model()
    state.update { $0.model = model }
  }
  package var pairs: Int { state.read { $0.pairs.count } }
}
