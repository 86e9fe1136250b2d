import Linux
import Quantities

@testable import NanobatteryTwin

/// A cell of 3.2 V behind 1 GΩ that remembers what was done to it.
final class FakeCell: CellSide, @unchecked Sendable {
  struct Log {
    var terminals: [(time: MonotonicTime, terminal: CellTerminal)] = []
    var contacts: [(time: MonotonicTime, closed: Bool)] = []
    var notes: [String] = []
  }

  let openCircuit = 3.2
  let resistance = 1e9
  private let log = Monitor(Log())

  var history: Log { log.update { $0 } }
  var terminal: CellTerminal? { history.terminals.last?.terminal }
  var contactsClosed: Bool { history.contacts.last?.closed ?? false }

  func setTerminal(_ terminal: CellTerminal, at time: MonotonicTime) {
    log.update { $0.terminals.append((time, terminal)) }
  }
  func setContacts(closed: Bool, at time: MonotonicTime) { log.update { $0.contacts.append((time, closed)) } }
  func note(_ text: String, at time: MonotonicTime) { log.update { $0.notes.append(text) } }

  func means(from start: MonotonicTime, to end: MonotonicTime) -> TerminalMeans {
    let history = history
    let span = max(1, end.nanoseconds - start.nanoseconds)
    var voltage = 0.0
    var current = 0.0
    var limited = 0.0
    for (index, entry) in history.terminals.enumerated() {
      let next = index + 1 < history.terminals.count ? history.terminals[index + 1].time : end
      let from = max(entry.time.nanoseconds, start.nanoseconds)
      let to = min(next.nanoseconds, end.nanoseconds)
      guard to > from else { continue }
      let share = Double(to - from) / Double(span)
      let (v, i, clamped) = point(entry.terminal)
      voltage += v * share
      current += i * share
      limited += clamped ? share : 0
    }
    return TerminalMeans(
      voltage: voltage, current: current, complianceShare: limited, smuOutputOn: true, cellVoltage: openCircuit)
  }

  private func point(_ terminal: CellTerminal) -> (Double, Double, Bool) {
    switch terminal {
    case .highImpedance: return (0, 0, false)
    case .current(let current, let limit):
      let voltage = openCircuit + current * resistance
      if abs(voltage) <= limit { return (voltage, current, false) }
      let clamped = voltage < 0 ? -limit : limit
      return (clamped, (clamped - openCircuit) / resistance, true)
    case .voltage(let voltage, let limit):
      let current = (voltage - openCircuit) / resistance
      if abs(current) <= limit { return (voltage, current, false) }
      let clamped = current < 0 ? -limit : limit
      return (openCircuit + clamped * resistance, clamped, true)
    }
  }
}

/// Starts at `offset` when the time base is at 0, and runs `rate` as fast.
struct FakeClock: InstrumentClock {
  var offset: Int64 = 0
  var rate = 1.0
  func device(at time: MonotonicTime) -> Int64 { offset + Int64((Double(time.nanoseconds) * rate).rounded()) }
  func host(at device: Int64) -> MonotonicTime {
    MonotonicTime(nanoseconds: Int64((Double(device - offset) / rate).rounded()))
  }
}

/// The hands of a clock that tests move.
final class Hands: Sendable {
  private let nanoseconds = Monitor(Int64(0))
  var now: MonotonicTime { MonotonicTime(nanoseconds: nanoseconds.read { $0 }) }
  func move(_ seconds: Double) { nanoseconds.update { $0 += Int64((seconds * 1e9).rounded()) } }
}

/// A SCPI conversation without USB, at times that the test chooses.
final class Bench<Device: SCPIDevice> {
  let hands = Hands()
  let device: Device
  let instrument: SCPIInstrument<Device>

  init(_ make: (MonotonicTime) -> Device) {
    device = make(hands.now)
    instrument = SCPIInstrument(device)
  }

  func send(_ line: String) { instrument.receive(Array((line + "\n").utf8), at: hands.now) }

  /// The answer, or nil while there is none.
  func read() -> String? {
    instrument.response(at: hands.now).map { String(decoding: $0.dropLast(), as: UTF8.self) }
  }

  func ask(_ line: String) -> String {
    send(line)
    return read() ?? "no answer"
  }

  /// The error number that the command left behind; 0 for none.
  func error(after line: String) -> Int {
    send(line)
    let text = ask(":SYST:ERR?")
    return Int(text.prefix { $0 != "," }) ?? .min
  }

  func wait(_ seconds: Double) {
    hands.move(seconds)
    instrument.tick(hands.now)
  }
}
