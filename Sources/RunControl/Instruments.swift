package import HolderDriver
package import Linux
package import Potentiostat
import Quantities
import USB

/// The instruments with the threads that own them. Instruments never know each other.
package struct Instruments: Sendable {
  package let potentiostat: OwningThread<PotentiostatStation>
  package let holder: OwningThread<HolderStation>?
  package let cameras: [CameraStation]
  package let latch: SafetyLatch
  /// The holder can open the cell's contacts.
  package var opensContacts = true

  /// What has been reached when everything that can be opened is open.
  var safeWords: String {
    opensContacts ? "output open, contacts open" : "output open; no holder switches the contacts, they stay closed"
  }

  /// How long the potentiostat may take to open its output before the holder goes ahead without it.
  private static let potentiostatPatience = Seconds(0.4)
  private static let holderPatience = Seconds(2)

  /// The safe state, in the one order there is (design §8): source at high impedance, then the holder's contacts open.
  /// A potentiostat that does not answer holds the holder up for less than half a second.
  /// - Parameter mustAnswer: a potentiostat that cannot be reached is a problem even if no run has used it.
  package func makeSafe(mustAnswer: Bool = false) -> SafeState {
    var state = SafeState()
    // First of all, and at once: nothing that is under way may switch anything on any more.
    latch.set()
    let patience = Self.potentiostatPatience
    let opened = potentiostat.run(within: patience, urgently: true, evenWhenLate: true) { station -> String? in
      do throws(InstrumentError) {
        try station.makeSafe(mustAnswer: mustAnswer)
        return nil
      } catch { return "\(error)" }
    }
    switch opened {
    case .none: state.problems.append("the potentiostat did not answer within \(Self.potentiostatPatience)")
    case .some(.some(let problem)): state.problems.append("the potentiostat could not open its output: \(problem)")
    case .some(.none): state.isOutputOpen = true
    }
    guard let holder else { return state }
    let safe = holder.run(within: Self.holderPatience, urgently: true, evenWhenLate: true) { station -> String? in
      do throws(InstrumentError) {
        try station.makeSafe()
        return nil
      } catch { return "\(error)" }
    }
    switch safe {
    case .none: state.problems.append("the holder did not answer within \(Self.holderPatience)")
    case .some(.some(let problem)): state.problems.append("the holder could not be made safe: \(problem)")
    case .some(.none): state.areContactsOpen = opensContacts
    }
    return state
  }

  /// Runs `work` on the potentiostat's thread and waits for it.
  func onPotentiostat<R: Sendable>(
    _ what: String, within limit: Seconds = Seconds(10),
    _ work: @escaping @Sendable (PotentiostatStation) throws(InstrumentError) -> R
  ) throws(InstrumentFailure) -> R {
    try Self.result(
      what,
      potentiostat.run(within: limit) { station in Self.attempt { () throws(InstrumentError) in try work(station) } })
  }

  /// Runs `work` on the holder's thread and waits for it; nil when there is no holder.
  func onHolder<R: Sendable>(
    _ what: String, within limit: Seconds = Seconds(10),
    _ work: @escaping @Sendable (HolderStation) throws(InstrumentError) -> R
  ) throws(InstrumentFailure) -> R? {
    guard let holder else { return nil }
    return try Self.result(
      what, holder.run(within: limit) { station in Self.attempt { () throws(InstrumentError) in try work(station) } })
  }

  private static func attempt<R: Sendable>(_ work: () throws(InstrumentError) -> R) -> Result<R, InstrumentError> {
    do throws(InstrumentError) { return .success(try work()) } catch { return .failure(error) }
  }

  private static func result<R>(_ what: String, _ result: Result<R, InstrumentError>?) throws(InstrumentFailure) -> R {
    switch result {
    case .none: throw InstrumentFailure(description: "\(what): the instrument did not answer in time")
    case .some(.failure(let error)): throw InstrumentFailure(description: "\(what): \(error)", isGone: error.isGone)
    case .some(.success(let value)): return value
    }
  }
}

/// What came of the way to the safe state.
package struct SafeState: Sendable {
  package var isOutputOpen = false
  package var areContactsOpen = false
  /// What did not work, in words; empty when the cell is open on both sides.
  package var problems: [String] = []
  /// One of the two is enough for the cell.
  package var isCellOpen: Bool { isOutputOpen || areContactsOpen }
}

/// An instrument that did not do what it was asked to.
struct InstrumentFailure: Error, Sendable, CustomStringConvertible {
  var description: String
  /// It is unplugged; opening it again may help.
  var isGone = false
}
