import Linux
import Quantities

/// IN transfers that are kept posted on one endpoint. Everything but `post` happens on libusb's thread.
final class LibUSBListener: Sendable {
  typealias Heard = @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void

  private struct State {
    var transfers: [LibUSBTransfer] = []
    var isOver = false
    /// Since when transfers fail without one that was completed.
    var failingSince: MonotonicTime?
  }

  private let endpoint: UInt8
  private let state = Monitor(State())
  private let heard: Heard
  private let explain: @Sendable (LibUSBTransfer.Ending) -> USBError

  /// - Parameter explain: what an ending is called; must not wait.
  init(
    _ endpoint: UInt8, _ heard: @escaping Heard, explain: @escaping @Sendable (LibUSBTransfer.Ending) -> USBError
  ) {
    self.endpoint = endpoint
    self.heard = heard
    self.explain = explain
  }

  /// Another transfer of this listener, to be begun by the caller.
  func makeTransfer(isInterrupt: Bool, capacity: Int) -> LibUSBTransfer {
    let transfer = LibUSBTransfer(in: endpoint, isInterrupt: isInterrupt, capacity: capacity) { [self] in
      ended($0, $1)
    }
    state.update { $0.transfers.append(transfer) }
    return transfer
  }

  /// Hears nothing any more.
  func end() {
    let transfers = state.update { state in
      state.isOver = true
      defer { state.transfers = [] }
      return state.transfers
    }
    for transfer in transfers { transfer.cancel() }
  }

  /// True posts the transfer once more.
  private func ended(_ transfer: LibUSBTransfer, _ outcome: LibUSBTransfer.Outcome) -> Bool {
    guard !state.read({ $0.isOver }) else { return false }
    switch outcome.ending {
    case .completed:
      state.update { $0.failingSince = nil }
      heard(.success(transfer.bytes(outcome)), outcome.at)
      return true
    case .cancelled:
      // The transport is being closed.
      end()
      return false
    case .failed:
      // Either a disturbed cable, or the first sign of a pulled one: the next submission tells, soon.
      if outcome.count > 0 { heard(.success(transfer.bytes(outcome)), outcome.at) }
      let since = state.update { state in
        state.failingSince = state.failingSince ?? outcome.at
        return state.failingSince ?? outcome.at
      }
      if outcome.at - since < LibUSBTraffic.doubtTime { return true }
    case .gone, .stalled, .overflowed, .refused: break
    }
    end()
    heard(.failure(explain(outcome.ending)), outcome.at)
    return false
  }
}
