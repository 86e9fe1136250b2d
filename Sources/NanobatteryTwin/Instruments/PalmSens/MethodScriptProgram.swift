/// A script error or a runtime error: what follows the `!`.
package struct MethodScriptFault: Error, Equatable, Sendable {
  package var code: Int
  package var line: Int?
  package var column: Int?

  /// `!4001: Line 1, Col 27`.
  var text: String {
    let place = line.map { ": Line \($0)" + (column.map { ", Col \($0)" } ?? "") } ?? ""
    return "!" + MethodScriptText.hexadecimal(code, 4) + place
  }
}

enum MethodScriptOperand: Equatable {
  case literal(Double, isInteger: Bool)
  case variable(String)
}

struct MethodScriptCondition {
  var left: MethodScriptOperand
  var comparison: String
  var right: MethodScriptOperand
}

/// What a line of a script does. Places are indices of instructions.
enum MethodScriptOperation {
  case nothing
  case store(String, MethodScriptOperand, type: String)
  case copy(from: String, to: String)
  case arithmetic(String, String, MethodScriptOperand)
  /// `if` and `elseif`: goes on behind it, or at `otherwise`.
  case branch(MethodScriptCondition, otherwise: Int)
  /// Before `elseif` and `else`: the part before is over.
  case jump(Int)
  case loop(MethodScriptCondition, end: Int)
  case measureLoop(MethodScriptTechnique, [MethodScriptOperand], outputs: [String], end: Int)
  case endLoop(begin: Int)
  case breakLoop
  case abort
  case wait(MethodScriptOperand)
  case timerStart
  case timerGet(String)
  case sendString(String)
  case measure(MethodScriptOperand, String, type: String)
  case packageStart
  case packageAdd(String)
  case packageEnd
  case mode(MethodScriptOperand)
  case range(String, MethodScriptOperand)
  case autorange(String, MethodScriptOperand, MethodScriptOperand)
  case window(String, MethodScriptOperand, MethodScriptOperand)
  case potential(MethodScriptOperand)
  case current(MethodScriptOperand)
  case cellOn(MethodScriptOperand?)
  case cellOff
  case output(MethodScriptOperand)
  case onFinished
}

enum MethodScriptTechnique: String {
  case ocp, lsv, cv, ca, cp, lsp
  /// As `M` reports it (methodscript.md §3).
  var number: Int {
    switch self {
    case .lsv: 0x0000
    case .cv: 0x0005
    case .ca: 0x0007
    case .cp: 0x000A
    case .ocp: 0x000B
    case .lsp: 0x000F
    }
  }
  var outputs: Int { self == .ocp ? 1 : 2 }
  var arguments: Int {
    switch self {
    case .ocp: 2
    case .ca, .cp: 3
    case .lsv, .lsp: 4
    case .cv: 5
    }
  }
  var isGalvanostatic: Bool { self == .cp || self == .lsp }
}

/// A script that was checked: what `l` makes of the lines.
struct MethodScriptProgram {
  private(set) var operations: [(operation: MethodScriptOperation, line: Int)] = []
  private(set) var variables: Set<String> = []
  private(set) var onFinished: Int?

  static let mostLines = 2000

  private enum Block {
    /// The instruction to be told where the next part begins, and the jumps to be told where the whole ends.
    case condition(pending: Int?, exits: [Int])
    case loop(begin: Int)
    case measureLoop(begin: Int)
  }
  private var blocks: [Block] = []
  private var hasOpenPackage = false

  init(_ lines: [String]) throws(MethodScriptFault) {
    guard lines.count <= Self.mostLines else { throw MethodScriptFault(code: 0x4005) }
    for (index, text) in lines.enumerated() { try add(MethodScriptSentence(text, line: index + 1)) }
    guard blocks.isEmpty else { throw MethodScriptFault(code: 0x4018, line: lines.count, column: 1) }
  }

  private mutating func emit(_ operation: MethodScriptOperation, _ sentence: MethodScriptSentence) {
    operations.append((operation, sentence.line))
  }

  private mutating func add(_ sentence: MethodScriptSentence) throws(MethodScriptFault) {
    guard let command = sentence.words.first?.text, !command.hasPrefix("#") else { return }
    let s = sentence
    switch command {
    case "var":
      let name = try s.word(1)
      guard name.first?.isLetter == true, MethodScriptText.literal(name) == nil else { throw s.fault(0x402B, 1) }
      guard variables.insert(name).inserted else { throw s.fault(0x4026, 1) }
    case "store_var": emit(.store(try variable(s, 1), try operand(s, 2), type: try s.word(3)), s)
    case "copy_var": emit(.copy(from: try variable(s, 1), to: try variable(s, 2)), s)
    case "add_var", "sub_var", "mul_var", "div_var":
      emit(.arithmetic(String(command.prefix(3)), try variable(s, 1), try operand(s, 2)), s)
    case "if", "elseif", "else", "endif": try addCondition(command, s)
    case "loop":
      blocks.append(.loop(begin: operations.count))
      emit(.loop(try condition(s), end: 0), s)
    case "endloop": try endLoop(s)
    case "breakloop":
      guard blocks.contains(where: { if case .condition = $0 { false } else { true } }) else {
        throw s.fault(0x400C, 0)
      }
      emit(.breakLoop, s)
    case "abort": emit(.abort, s)
    case "wait": emit(.wait(try operand(s, 1)), s)
    case "timer_start": emit(.timerStart, s)
    case "timer_get": emit(.timerGet(try variable(s, 1)), s)
    case "send_string": emit(.sendString(try s.word(1)), s)
    case "meas": emit(.measure(try operand(s, 1), try variable(s, 2), type: try s.word(3)), s)
    case "pck_start":
      guard !hasOpenPackage else { throw s.fault(0x401B, 0) }
      hasOpenPackage = true
      emit(.packageStart, s)
    case "pck_add":
      guard hasOpenPackage else { throw s.fault(0x401B, 0) }
      emit(.packageAdd(try variable(s, 1)), s)
    case "pck_end":
      guard hasOpenPackage else { throw s.fault(0x401B, 0) }
      hasOpenPackage = false
      emit(.packageEnd, s)
    case "set_pgstat_mode": emit(.mode(try operand(s, 1)), s)
    case "set_range", "set_range_minmax", "set_autoranging": try addRange(command, s)
    case "set_e": emit(.potential(try operand(s, 1)), s)
    case "set_i": emit(.current(try operand(s, 1)), s)
    case "cell_on":
      guard s.words.count > 1 else { return emit(.cellOn(nil), s) }
      let word = try s.word(1)
      guard word.hasPrefix("ocp("), word.hasSuffix(")") else { throw s.fault(0x4008, 1) }
      let name = String(word.dropFirst(4).dropLast())
      guard variables.contains(name) else { throw s.fault(0x420B, 1) }
      emit(.cellOn(.variable(name)), s)
    case "cell_off": emit(.cellOff, s)
    case "set_script_output": emit(.output(try operand(s, 1)), s)
    case "on_finished:":
      guard blocks.isEmpty, onFinished == nil else { throw s.fault(0x400C, 0) }
      onFinished = operations.count
      emit(.onFinished, s)
    case "set_pgstat_chan", "set_max_bandwidth", "set_acquisition_frac_autoadjust", "set_gpio_cfg", "set_gpio_pullup",
      "set_gpio", "set_gpio_msk":
      // Checked, and without effect on what is measured here.
      for index in 1..<max(2, s.words.count) { _ = try operand(s, index) }
      emit(.nothing, s)
    case "get_gpio", "get_gpio_msk": emit(.store(try variable(s, 1), .literal(0, isInteger: true), type: "ec"), s)
    default:
      guard command.hasPrefix("meas_loop_"),
        let technique = MethodScriptTechnique(rawValue: String(command.dropFirst(10)))
      else { throw s.fault(0x4001, 0) }
      try addMeasureLoop(technique, s)
    }
  }

  private mutating func addRange(_ command: String, _ s: MethodScriptSentence) throws(MethodScriptFault) {
    let type = try s.word(1)
    guard ["ba", "ab", "da", "db", "bb"].contains(type) else { throw s.fault(0x0002, 1) }
    switch command {
    case "set_range": emit(.range(type, try operand(s, 2)), s)
    case "set_autoranging": emit(.autorange(type, try operand(s, 2), try operand(s, 3)), s)
    default: emit(.window(type, try operand(s, 2), try operand(s, 3)), s)
    }
  }

  private mutating func addCondition(_ command: String, _ s: MethodScriptSentence) throws(MethodScriptFault) {
    if command == "if" {
      blocks.append(.condition(pending: operations.count, exits: []))
      return emit(.branch(try condition(s), otherwise: 0), s)
    }
    guard case .condition(let pending, var exits)? = blocks.popLast() else { throw s.fault(0x400C, 0) }
    if command == "endif" {
      land(pending)
      for exit in exits { operations[exit].operation = .jump(operations.count) }
      return
    }
    guard pending != nil else { throw s.fault(0x400C, 0) }
    exits.append(operations.count)
    emit(.jump(0), s)
    land(pending)
    if command == "else" { return blocks.append(.condition(pending: nil, exits: exits)) }
    blocks.append(.condition(pending: operations.count, exits: exits))
    emit(.branch(try condition(s), otherwise: 0), s)
  }

  /// The next part of a condition begins here.
  private mutating func land(_ pending: Int?) {
    guard let pending, case .branch(let condition, _) = operations[pending].operation else { return }
    operations[pending].operation = .branch(condition, otherwise: operations.count)
  }

  private mutating func addMeasureLoop(_ technique: MethodScriptTechnique, _ s: MethodScriptSentence)
    throws(MethodScriptFault)
  {
    if blocks.contains(where: { if case .measureLoop = $0 { true } else { false } }) { throw s.fault(0x400B, 0) }
    var outputs: [String] = []
    for index in 1...technique.outputs { outputs.append(try variable(s, index)) }
    var arguments: [MethodScriptOperand] = []
    for index in 0..<technique.arguments { arguments.append(try operand(s, 1 + technique.outputs + index)) }
    if s.words.count > 1 + technique.outputs + technique.arguments {
      throw s.fault(0x4008, 1 + technique.outputs + technique.arguments)
    }
    blocks.append(.measureLoop(begin: operations.count))
    emit(.measureLoop(technique, arguments, outputs: outputs, end: 0), s)
  }

  private mutating func endLoop(_ s: MethodScriptSentence) throws(MethodScriptFault) {
    switch blocks.popLast() {
    case .loop(let begin)?:
      guard case .loop(let condition, _) = operations[begin].operation else { return }
      operations[begin].operation = .loop(condition, end: operations.count)
      emit(.endLoop(begin: begin), s)
    case .measureLoop(let begin)?:
      guard case .measureLoop(let technique, let arguments, let outputs, _) = operations[begin].operation else {
        return
      }
      operations[begin].operation = .measureLoop(technique, arguments, outputs: outputs, end: operations.count)
      emit(.endLoop(begin: begin), s)
    default: throw s.fault(0x400C, 0)
    }
  }

  private func condition(_ s: MethodScriptSentence) throws(MethodScriptFault) -> MethodScriptCondition {
    let comparison = try s.word(2)
    guard ["<", ">", "<=", ">=", "==", "!="].contains(comparison) else { throw s.fault(0x4004, 2) }
    return MethodScriptCondition(left: try operand(s, 1), comparison: comparison, right: try operand(s, 3))
  }

  private func variable(_ s: MethodScriptSentence, _ index: Int) throws(MethodScriptFault) -> String {
    let name = try s.word(index)
    guard variables.contains(name) else { throw s.fault(0x420B, index) }
    return name
  }

  private func operand(_ s: MethodScriptSentence, _ index: Int) throws(MethodScriptFault) -> MethodScriptOperand {
    let word = try s.word(index)
    guard let first = word.first else { throw s.fault(0x4018, index) }
    if first.isNumber || first == "-" || first == "+" {
      guard let literal = MethodScriptText.literal(word) else {
        throw s.fault(word.contains(".") ? 0x4004 : 0x4039, index)
      }
      return .literal(literal.value, isInteger: literal.isInteger)
    }
    return .variable(try variable(s, index))
  }
}

/// A line in words, each with its column from 1; a string in quotation marks is one word.
struct MethodScriptSentence {
  let line: Int
  private(set) var words: [(text: String, column: Int)] = []

  init(_ text: String, line: Int) {
    self.line = line
    var word = ""
    var start = 1
    var isQuoted = false
    for (index, character) in text.enumerated() {
      if character == " " || character == "\t", !isQuoted {
        if !word.isEmpty { words.append((word, start)) }
        word = ""
      } else {
        if character == "#", word.isEmpty, !isQuoted { break }
        if word.isEmpty { start = index + 1 }
        if character == "\"" { isQuoted.toggle() }
        word.append(character)
      }
    }
    if !word.isEmpty { words.append((word, start)) }
  }

  func word(_ index: Int) throws(MethodScriptFault) -> String {
    guard index < words.count else { throw MethodScriptFault(code: 0x4018, line: line, column: 1) }
    return words[index].text
  }

  func fault(_ code: Int, _ index: Int) -> MethodScriptFault {
    MethodScriptFault(code: code, line: line, column: index < words.count ? words[index].column : 1)
  }
}
