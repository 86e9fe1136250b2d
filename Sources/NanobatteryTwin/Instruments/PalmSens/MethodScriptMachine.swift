import Quantities

/// Carries a script out in the instrument's own time, against the cell.
///
/// Time goes on only by `run`: each instruction takes `instructionTime`, waits and readings take theirs.
final class MethodScriptMachine {
  struct Variable {
    var value = 0.0
    var type = "aa"
    var isInteger = false
    /// Of a measured variable: metadata 1 and 2.
    var status: Int?
    var range = 0
  }

  /// A loop that runs: an ordinary one, or a measurement with its points.
  enum Frame {
    case loop(end: Int)
    case measurement(Measurement)

    var end: Int {
      switch self {
      case .loop(let end): end
      case .measurement(let measurement): measurement.end
      }
    }
  }

  static let instructionTime = Seconds(20e-6)
  /// Instructions in one call, so that a script that loops without end does not hold the bench up.
  static let mostInstructions = 100_000

  let cellDriver: PalmSensCellDriver
  let clock: any InstrumentClock
  private(set) var isRunning = false
  private var isHalted = false
  private var program: MethodScriptProgram?
  private var place = 0
  /// The instant up to which the script has been carried out.
  var cursor = MonotonicTime(nanoseconds: 0)
  var variables: [String: Variable] = [:]
  var frames: [Frame] = []
  /// What is done when the time `cursor` has come, before the next instruction.
  private var pending: (() throws(MethodScriptFault) -> Void)?
  private var timer: Int64 = 0
  private var package: [String] = []
  private var outputMode = 1
  /// Lines that were put out and not taken.
  private(set) var lines: [String] = []
  /// Tests: the next reading ends with this error.
  var failsNextReading: Int?
  let endsErrorsWithEmptyLine: Bool

  init(_ cellDriver: PalmSensCellDriver, clock: any InstrumentClock, endsErrorsWithEmptyLine: Bool) {
    self.cellDriver = cellDriver
    self.clock = clock
    self.endsErrorsWithEmptyLine = endsErrorsWithEmptyLine
  }

  func takeLines() -> [String] {
    defer { lines = [] }
    return lines
  }

  // MARK: From outside

  func start(_ program: MethodScriptProgram, at now: MonotonicTime) {
    self.program = program
    place = 0
    cursor = now
    variables = Dictionary(uniqueKeysWithValues: program.variables.map { ($0, Variable()) })
    frames = []
    pending = nil
    package = []
    outputMode = 1
    timer = clock.device(at: now)
    isHalted = false
    isRunning = true
    cellDriver.scriptBegins()
  }

  func halt(_ isHalted: Bool, at now: MonotonicTime) {
    if self.isHalted, !isHalted { cursor = max(cursor, now) }
    self.isHalted = isHalted
  }

  /// `Z` and `abort`: loops end, then `on_finished`.
  func abort(at now: MonotonicTime) {
    guard let program, isRunning else { return }
    isHalted = false
    pending = nil
    cursor = min(cursor, now)
    while !frames.isEmpty { leaveLoop() }
    place = max(place, program.onFinished ?? program.operations.count)
  }

  /// `Y`: the measurement loop ends, the script goes on.
  func endMeasurement(at now: MonotonicTime) {
    guard let index = frames.lastIndex(where: { if case .measurement = $0 { true } else { false } }) else { return }
    pending = nil
    cursor = min(cursor, now)
    let end = frames[index].end
    while frames.count > index { leaveLoop() }
    place = end + 1
  }

  private func leaveLoop() {
    guard let frame = frames.popLast() else { return }
    if case .measurement = frame { put("*") } else { put("+") }
  }

  func run(until now: MonotonicTime) {
    var instructions = 0
    while isRunning, !isHalted, cursor <= now, instructions < Self.mostInstructions {
      instructions += 1
      do throws(MethodScriptFault) {
        if let action = pending {
          pending = nil
          try action()
        } else {
          try step()
        }
      } catch {
        // The quirk that costs batteries: `on_finished` is not carried out and the cell stays as it is (§2.6).
        lines.append(error.text)
        if endsErrorsWithEmptyLine { lines.append("") }
        isRunning = false
      }
    }
  }

  // MARK: Instructions

  func put(_ line: String) { if outputMode & 1 != 0 { lines.append(line) } }

  /// Goes on with `action` when `span` is over.
  func wait(_ span: Seconds, then action: @escaping () throws(MethodScriptFault) -> Void = {}) {
    cursor = cursor + max(span, .zero)
    pending = action
  }

  private func step() throws(MethodScriptFault) {
    guard let program, place < program.operations.count else {
      isRunning = false
      lines.append("")
      return
    }
    let (operation, line) = program.operations[place]
    place += 1
    cursor = cursor + Self.instructionTime
    do throws(MethodScriptFault) { try carryOut(operation) } catch {
      throw MethodScriptFault(code: error.code, line: line)
    }
  }

  private func carryOut(_ operation: MethodScriptOperation) throws(MethodScriptFault) {
    switch operation {
    case .nothing, .onFinished: break
    case .store(let name, let operand, let type):
      let isInteger = if case .literal(_, true) = operand { true } else { false }
      variables[name] = Variable(value: value(operand), type: type, isInteger: isInteger)
    case .copy(let from, let to): variables[to] = variables[from]
    case .arithmetic(let sort, let name, let operand): try calculate(sort, name, value(operand))
    case .branch(let condition, let otherwise): if !holds(condition) { place = otherwise }
    case .jump(let target): place = target
    case .loop(let condition, let end):
      let isInside = if case .loop(end)? = frames.last { true } else { false }
      if holds(condition) {
        if !isInside {
          frames.append(.loop(end: end))
          put("L")
        }
      } else {
        if isInside { leaveLoop() } else { [put("L"), put("+")].forEach { $0 } }
        place = end + 1
      }
    case .measureLoop(let technique, let arguments, let outputs, let end):
      try beginMeasurement(technique, arguments.map(value), outputs, end: end)
    case .endLoop(let begin): endLoop(begin)
    case .breakLoop:
      guard let end = frames.last?.end else { return }
      leaveLoop()
      place = end + 1
    case .abort: abort(at: cursor)
    case .wait(let span): wait(Seconds(value(span)))
    case .timerStart: timer = clock.device(at: cursor)
    case .timerGet(let name):
      variables[name] = Variable(value: Double(clock.device(at: cursor) - timer) * 1e-9, type: "eb")
    case .sendString(let text): put("T" + filled(text))
    case .measure(let span, let name, let type): try measure(Seconds(value(span)), name, type)
    case .packageStart: package = []
    case .packageAdd(let name): package.append(text(variables[name] ?? Variable()))
    case .packageEnd: put("P" + package.joined(separator: ";"))
    case .output(let mode): outputMode = Int(value(mode))
    case .mode(let mode): try cellDriver.setMode(Int(value(mode)), at: cursor)
    case .range(let type, let operand): cellDriver.setRange(type, value(operand), at: cursor)
    case .autorange(let type, let low, let high): cellDriver.setAutorange(type, value(low), value(high), at: cursor)
    case .window(let type, let low, let high): try cellDriver.setWindow(type, value(low), value(high))
    case .potential(let operand): try cellDriver.setPotential(value(operand), at: cursor)
    case .current(let operand): try cellDriver.setCurrent(value(operand), at: cursor)
    case .cellOn(let operand): try cellDriver.cellOn(openCircuit: operand.map(value), at: cursor)
    case .cellOff: cellDriver.cellOff(at: cursor)
    }
  }

  /// The end of a loop's body: an ordinary loop asks its condition again, a measurement takes its next point.
  private func endLoop(_ begin: Int) {
    guard case .measurement(let measurement)? = frames.last else {
      place = begin
      return
    }
    guard measurement.index + 1 < measurement.levels.count else {
      let end = measurement.end
      leaveLoop()
      place = end + 1
      return
    }
    place = begin + 1
    takePoint(measurement.index + 1)
  }

  private func calculate(_ sort: String, _ name: String, _ operand: Double) throws(MethodScriptFault) {
    guard var variable = variables[name] else { return }
    switch sort {
    case "add": variable.value += operand
    case "sub": variable.value -= operand
    case "mul": variable.value *= operand
    default:
      guard operand != 0 else { throw MethodScriptFault(code: 0x0028) }
      variable.value /= operand
    }
    guard variable.value.isFinite else { throw MethodScriptFault(code: 0x0010) }
    variables[name] = variable
  }

  func value(_ operand: MethodScriptOperand) -> Double {
    switch operand {
    case .literal(let value, _): value
    case .variable(let name): variables[name]?.value ?? 0
    }
  }

  private func holds(_ condition: MethodScriptCondition) -> Bool {
    let (left, right) = (value(condition.left), value(condition.right))
    return switch condition.comparison {
    case "<": left < right
    case ">": left > right
    case "<=": left <= right
    case ">=": left >= right
    case "==": left == right
    default: left != right
    }
  }

  // MARK: Text

  private func text(_ variable: Variable) -> String {
    var text = variable.type + MethodScriptText.value(variable.value, isInteger: variable.isInteger)
    if let status = variable.status {
      text += ",1\(MethodScriptText.hexadecimal(status, 1)),2\(MethodScriptText.hexadecimal(variable.range, 2))"
      if cellDriver.hardware.reportsNoise { text += ",40" }
    }
    return text
  }

  /// `"…"`, and `f"…{name}…"` with values.
  private func filled(_ word: String) -> String {
    let isFormat = word.hasPrefix("f\"")
    var text = String(word.dropFirst(isFormat ? 2 : 1).dropLast())
    guard isFormat else { return text }
    for (name, variable) in variables {
      guard let range = text.firstRange(of: "{\(name)}") else { continue }
      text.replaceSubrange(range, with: "\(variable.value)")
    }
    return text
  }
}
