import EmulatedUSB
import Glibc
import NanobatteryTwin
import Quantities
import Testing

/// Something goes wrong at each transfer of a session, once for every transfer and every kind of fault: the cell is open
/// afterwards, nothing hangs, and everything works again.
@Suite("Anomalies at every transfer of a session")
struct AnomalyTests {
  /// What goes wrong; the last one is told apart from `unplug` by a cable that is back after 0.3 s.
  enum Fault: String, CaseIterable, Sendable {
    case timeOut = "time-out"
    case stall = "stall"
    case short = "short packet"
    case garbage = "garbage"
    case unplug = "unplug"
    case replug = "unplug and replug"

    var kind: USBFault.Kind {
      switch self {
      case .timeOut: .timeOut
      case .stall: .stall
      case .short: .short(3)
      case .garbage: .garbage(seed: 7)
      case .unplug: .unplug
      case .replug: .unplugAndReplug(after: Seconds(0.3))
      }
    }
  }

  /// No call hangs longer, whatever goes wrong: the others wait for it.
  static let longestHang = Seconds(2)
  /// A call that takes longer than this without a fault measures, settles or ramps: that is no hang, and what it takes is
  /// granted to it beside a hang. For all other calls the bound is that of a hang alone.
  static let longWork = Seconds(0.3)

  /// `INSITUD_MODEL=name` takes that one alone.
  static let models = getenv("INSITUD_MODEL").map { [String(cString: $0)] } ?? TwinPotentiostatModels.all.map(\.name)

  @Test("Of the potentiostat", arguments: Self.models, Fault.allCases)
  func potentiostat(_ model: String, _ fault: Fault) {
    examine(model, .potentiostat, fault)
  }

  @Test("Of the holder", arguments: Fault.allCases)
  func holder(_ fault: Fault) { examine("keithley-2450", .holder, fault) }

  /// `INSITUD_ANOMALIES=n` takes every n-th transfer.
  private static let stride = max(1, getenv("INSITUD_ANOMALIES").flatMap { Int(String(cString: $0)) } ?? 1)

  private func examine(_ model: String, _ device: Session.Device, _ fault: Fault) {
    let sound = Session(model: model, fault: nil, on: device).run()
    #expect(sound.complaint == nil, "without a fault: \(sound.complaint ?? "")")
    #expect(sound.isUsable, "without a fault: \(sound.usableProblem)")
    #expect(sound.lastSamples > 0)
    var cases = 0
    var complaints = 0
    var longest = (Seconds(0), "")
    for transfer in Swift.stride(from: 1, through: sound.transfers, by: Self.stride) {
      let outcome = Session(
        model: model, fault: USBFault(endpoint: nil, transfer: transfer, kind: fault.kind), on: device
      ).run()
      cases += 1
      if outcome.complaint != nil { complaints += 1 }
      if outcome.longestCall > longest.0 { longest = (outcome.longestCall, outcome.longestCallName) }
      let place = "\(model), \(device): \(fault.rawValue) at transfer \(transfer) of \(sound.transfers)"
      #expect(outcome.isCellOpen, "\(place): the cell is not open; \(outcome.complaint ?? "no complaint")")
      #expect(
        outcome.isUsable,
        "\(place): not usable afterwards: \(outcome.usableProblem); \(outcome.complaint ?? "no complaint")")
      #expect(outcome.pending == 0, "\(place): \(outcome.pending) transfers are left")
      #expect(
        outcome.complaint != nil || outcome.lastSamples > 0, "\(place): no samples any more, and nobody says so")
      for (name, took) in outcome.calls {
        let work = sound.calls[name] ?? .zero
        #expect(
          took <= Self.longestHang + (work > Self.longWork ? work : .zero), "\(place): “\(name)” took \(took)")
      }
    }
    print(
      "anomalies: \(model), \(device), \(fault.rawValue): \(cases) cases at \(sound.transfers) transfers, \(complaints) reported, "
        + "the rest went on; longest call \(longest.0) (\(longest.1))")
  }
}
