import Glibc
import NanobatteryTwin
import Quantities
import Testing

/// Answers of the instruments are damaged, now often, now seldom: whatever they say, nothing crashes, the cell is open at the end,
/// and all works when the answers are right again. Goes through all decoders: USBTMC, blocks and numbers, rows of Lua,
/// MethodSCRIPT packages, records and answers of the holder.
@Suite("Damaged answers of instruments")
struct DamagedAnswerTests {
  /// `INSITUD_FUZZ=<sessions>` makes each run that long.
  private static let sessions = getenv("INSITUD_FUZZ").flatMap { Int(String(cString: $0)) } ?? 40

  @Test(
    "No answer brings a driver down",
    arguments: [
      "keithley-2450", "keithley-2636b", "keysight-b2912a", "keysight-b2985a", "emstat4-hr", "emstat-pico",
    ])
  func damaged(_ model: String) {
    var damaged = 0
    var complaints = 0
    for seed in 1...UInt64(Self.sessions) {
      let outcome = Session(model: model, fault: nil, on: .potentiostat, damage: seed).run()
      damaged += outcome.damaged
      if outcome.complaint != nil { complaints += 1 }
      #expect(
        outcome.isCellOpen, "\(model), seed \(seed): the cell is not open; \(outcome.complaint ?? "no complaint")")
      #expect(outcome.isUsable, "\(model), seed \(seed): \(outcome.usableProblem); \(outcome.complaint ?? "")")
    }
    #expect(damaged > Self.sessions)
    print("damaged answers: \(model): \(damaged) in \(Self.sessions) sessions, \(complaints) of them ended by one")
  }
}
