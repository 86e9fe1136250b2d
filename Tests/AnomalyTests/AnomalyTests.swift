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
  static let kinds: [(name: String, kind: USBFault.Kind)] = [
    ("time-out", .timeOut), ("stall", .stall), ("short packet", .short(3)), ("garbage", .garbage(seed: 7)),
    ("unplug", .unplug), ("unplug and replug", .unplugAndReplug(after: Seconds(0.3))),
  ]

  /// No call takes longer, whatever goes wrong: the others wait for it.
  static let longestCall = Seconds(2)

  @Test("Of the potentiostat", arguments: TwinPotentiostatModels.all.map(\.name))
  func potentiostat(_ model: String) { examine(model, .potentiostat) }

  @Test("Of the holder")
  func holder() { examine("keithley-2450", .holder) }

  /// `INSITUD_ANOMALIES=n` takes every n-th transfer only.
  private static let stride = max(1, getenv("INSITUD_ANOMALIES").flatMap { Int(String(cString: $0)) } ?? 1)

  private func examine(_ model: String, _ device: Session.Device) {
    let sound = Session(model: model, fault: nil, on: device).run()
    #expect(sound.complaint == nil, "without a fault: \(sound.complaint ?? "")")
    #expect(sound.isUsable, "without a fault: \(sound.usableProblem)")
    #expect(sound.lastSamples > 0)
    var cases = 0
    var complaints = 0
    var longest = (Seconds(0), "")
    for (name, kind) in Self.kinds {
      for transfer in Swift.stride(from: 1, through: sound.transfers, by: Self.stride) {
        let outcome = Session(
          model: model, fault: USBFault(endpoint: nil, transfer: transfer, kind: kind), on: device
        ).run()
        cases += 1
        if outcome.complaint != nil { complaints += 1 }
        if outcome.longestCall > longest.0 { longest = (outcome.longestCall, outcome.longestCallName) }
        let place = "\(model), \(device): \(name) at transfer \(transfer) of \(sound.transfers)"
        #expect(outcome.isCellOpen, "\(place): the cell is not open; \(outcome.complaint ?? "no complaint")")
        #expect(
          outcome.isUsable,
          "\(place): not usable afterwards: \(outcome.usableProblem); \(outcome.complaint ?? "no complaint")")
        #expect(outcome.pending == 0, "\(place): \(outcome.pending) transfers are left")
        #expect(
          outcome.complaint != nil || outcome.lastSamples > 0, "\(place): no samples any more, and nobody says so")
        #expect(
          outcome.longestCall <= max(Self.longestCall, sound.longestCall * 1.5),
          "\(place): “\(outcome.longestCallName)” took \(outcome.longestCall)")
      }
    }
    print(
      "anomalies: \(model), \(device): \(cases) cases at \(sound.transfers) transfers, \(complaints) reported, the rest "
        + "went on; longest call \(longest.0) (\(longest.1))")
  }
}
