import Quantities

/// The relays of an OBH-1: 8 lines, 10 taps, normally open; moves take their settling time (holder.md §4.1, §4.3).
struct RelayMatrix {
  static let lines = 1...8
  static let taps = 0...9

  struct Pair: Equatable {
    var a: SCPIChannel
    var b: SCPIChannel
  }

  struct Action {
    var time: MonotonicTime
    var channel: SCPIChannel
    var closes: Bool
  }

  private(set) var closed: Set<SCPIChannel> = []
  private(set) var cycles: [SCPIChannel: Int] = [:]
  private var actions: [Action] = []
  /// When every relay has settled.
  private(set) var settledAt = MonotonicTime(nanoseconds: .min)
  var makesBeforeBreak = false
  var settlingTime = Seconds(2e-3)
  var forbidden: [Pair] = []

  /// What will be closed when all moves are over.
  private var planned: Set<SCPIChannel> {
    actions.reduce(into: closed) { set, action in
      if action.closes { set.insert(action.channel) } else { set.remove(action.channel) }
    }
  }

  var nextAction: MonotonicTime? { actions.first?.time }
  /// Nothing is at a tap that has to do with the cell; heater lines (taps 6–9) may be closed.
  var isCellOpen: Bool { planned.allSatisfy { $0.tap > 5 } && closed.allSatisfy { $0.tap > 5 } }

  /// Moves each named line to its named taps; a line leaves the taps it was at.
  ///
  /// BBM opens first and closes one settling time later, MBB the other way round. A forbidden pair, at the end or while
  /// both are made, refuses the whole command and moves nothing.
  mutating func close(_ channels: [SCPIChannel], at now: MonotonicTime) throws(SCPIError) {
    let before = planned
    let wanted = Set(channels)
    let lines = Set(channels.map(\.line))
    let leaving = before.filter { lines.contains($0.line) && !wanted.contains($0) }
    let joining = wanted.subtracting(before)
    let widest = makesBeforeBreak ? before.union(joining) : before.subtracting(leaving).union(joining)
    guard !forbidden.contains(where: { widest.contains($0.a) && widest.contains($0.b) }) else {
      throw .settingsConflict
    }
    let first = makesBeforeBreak ? joining.sorted() : leaving.sorted()
    let second = makesBeforeBreak ? leaving.sorted() : joining.sorted()
    var time = max(now, settledAt)
    for part in [(first, makesBeforeBreak), (second, !makesBeforeBreak)] where !part.0.isEmpty {
      actions += part.0.map { Action(time: time, channel: $0, closes: part.1) }
      time = time + settlingTime
      settledAt = time
    }
  }

  mutating func open(_ channels: some Sequence<SCPIChannel>, at now: MonotonicTime) {
    let leaving = planned.intersection(channels).sorted()
    guard !leaving.isEmpty else { return }
    let time = max(now, settledAt)
    actions += leaving.map { Action(time: time, channel: $0, closes: false) }
    settledAt = time + settlingTime
  }

  /// Everything opens at once; moves that were planned are not made.
  mutating func openAllNow(at now: MonotonicTime) -> [Action] {
    actions = closed.sorted().map { Action(time: now, channel: $0, closes: false) }
    settledAt = now + settlingTime
    var done: [Action] = []
    while let action = takeAction(until: now) { done.append(action) }
    return done
  }

  /// Makes the next move that is due.
  mutating func takeAction(until now: MonotonicTime) -> Action? {
    guard let action = actions.first, action.time <= now else { return nil }
    actions.removeFirst()
    if action.closes {
      closed.insert(action.channel)
      cycles[action.channel, default: 0] += 1
    } else {
      closed.remove(action.channel)
    }
    return action
  }

  /// `(@1!1,2!2)`; neighbouring lines at one tap as a range, `(@1!0:8!0)`.
  var text: String {
    var parts: [String] = []
    var rest = closed.sorted()[...]
    while let first = rest.popFirst() {
      var last = first
      while let next = rest.first, next.tap == last.tap, next.line == last.line + 1 {
        last = next
        rest.removeFirst()
      }
      parts.append(first == last ? "\(first.line)!\(first.tap)" : "\(first.line)!\(first.tap):\(last.line)!\(last.tap)")
    }
    return "(@\(parts.joined(separator: ",")))"
  }
}
