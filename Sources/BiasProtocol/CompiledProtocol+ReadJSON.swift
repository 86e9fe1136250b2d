package import JSON
import Quantities

extension CompiledProtocol {
  /// Reads what `json` gives, or steps in unicycler's own keys without loops. Checked against its limits like a file; the
  /// error names the member.
  package init(json document: JSONValue) throws(ProtocolError) {
    let root = Member(value: document, name: "")
    let ours = root["x_insitud"]
    if let version = try ours["protocol"].integerIfPresent(), version != 1 {
      throw ours["protocol"].error("is \(version), which is not understood by this version")
    }
    let safety = root["safety"]
    let voltage = try safety.limit("min_voltage_V", "max_voltage_V") { Volts($0) }
    let current =
      ours["max_current_A"].isMissing
      ? try safety.limit("min_current_mA", "max_current_mA") { Milliamperes.amperes($0) }
      : try ours.limit("min_current_A", "max_current_A") { Amperes($0) }
    guard current.contains(.zero) else { throw safety.error("leaves out 0 A, which flows at rest") }
    let period = try root["record"]["time_s"].positive()
    guard period <= Self.maximumSamplePeriod.value else {
      throw root["record"]["time_s"].error("is more than \(Self.maximumSamplePeriod.exactText)")
    }
    let sampleName = try root["sample"]["name"].textIfPresent()
    self.init(
      name: try ours["name"].textIfPresent() ?? sampleName ?? "unnamed",
      sampleID: ours.isMissing ? sampleName : try ours["sample_id"].textIfPresent(),
      sampleArea: try ours["area_m2"].positiveIfPresent().map { SquareMetres($0) },
      limits: Limits(
        voltage: voltage, current: current,
        dose: try ours["dose_e_per_A2"].positiveIfPresent().map { ElectronDose($0) }),
      samplePeriod: Seconds(period), range: try ours["range_A"].positiveIfPresent().map { Amperes($0) },
      voltageRange: try ours["voltage_range_V"].positiveIfPresent().map { Volts($0) }, steps: [],
      text: try ours["text"].textIfPresent() ?? "")
    waitForInstruments = try ours["wait_for_instruments_s"].positiveIfPresent().map { Seconds($0) }

    let method = try root["method"].elements()
    guard !method.isEmpty else { throw root["method"].error("has no step") }
    guard method.count <= Self.maximumSteps else {
      throw root["method"].error("has \(method.count) steps; at most \(Self.maximumSteps) are possible")
    }
    var checker = SentenceChecker(voltage: voltage, current: current, samplePeriod: samplePeriod, range: range)
    // The bound of a step without a time of its own has been put in already.
    checker.maximumStep = Seconds(.greatestFiniteMagnitude)
    for member in method { steps.append(try member.step(index: steps.count, checker)) }
  }
}

/// A value of the document with its name for messages: "method[3].current_mA".
private struct Member {
  let value: JSONValue?
  let name: String

  subscript(_ key: String) -> Member { Member(value: value?[key], name: name.isEmpty ? key : "\(name).\(key)") }
  var isMissing: Bool { value == nil || value == .null }

  func error(_ message: String) -> ProtocolError { ProtocolError(line: 0, column: 0, "“\(name)” \(message)") }

  func elements() throws(ProtocolError) -> [Member] {
    guard let array = value?.array else { throw error(isMissing ? "is missing" : "is not an array") }
    return array.enumerated().map { Member(value: $1, name: "\(name)[\($0)]") }
  }

  func textIfPresent() throws(ProtocolError) -> String? {
    if isMissing { return nil }
    guard let text = value?.string else { throw error("is not text") }
    return text
  }

  func text() throws(ProtocolError) -> String {
    guard let text = try textIfPresent() else { throw error("is missing") }
    return text
  }

  func boolIfPresent() throws(ProtocolError) -> Bool? {
    if isMissing { return nil }
    guard let bool = value?.bool else { throw error("is neither true nor false") }
    return bool
  }

  func integerIfPresent() throws(ProtocolError) -> Int? {
    if isMissing { return nil }
    guard let integer = value?.integer, (0...Int64(Int32.max)).contains(integer) else {
      throw error("is not a whole number from 0 on")
    }
    return Int(integer)
  }

  func numberIfPresent() throws(ProtocolError) -> Double? {
    if isMissing { return nil }
    guard let number = value?.double, number.isFinite else { throw error("is not a number") }
    return number
  }

  func number() throws(ProtocolError) -> Double {
    guard let number = try numberIfPresent() else { throw error("is missing") }
    return number
  }

  func positiveIfPresent() throws(ProtocolError) -> Double? {
    guard let number = try numberIfPresent() else { return nil }
    guard number > 0 else { throw error("must be above 0") }
    return number
  }

  func positive() throws(ProtocolError) -> Double {
    guard let number = try positiveIfPresent() else { throw error("is missing") }
    return number
  }

  func limit<Q: PhysicalQuantity>(_ low: String, _ high: String, _ make: (Double) -> Q) throws(ProtocolError)
    -> ClosedRange<Q>
  {
    let ends = (make(try self[low].number()), make(try self[high].number()))
    guard ends.0 < ends.1 else { throw self[low].error("must be lower than “\(high)”") }
    return ends.0...ends.1
  }
}

// MARK: - Steps

extension Member {
  func step(index: Int, _ checker: SentenceChecker) throws(ProtocolError) -> Step {
    let bound = Seconds(try self["until_time_s"].positive())
    var sentence = Sentence(instruction: try instruction(), duration: bound)
    sentence.conditions = try conditions(sentence.instruction)
    let range = try self["x_range_A"].positiveIfPresent().map { Amperes($0) }
    var found: SentenceError?
    let made = checker.step(sentence, ownRange: range) { found = found ?? $0 }
    if let found { throw error(found.remedy.map { "\(found.message); \($0)" } ?? found.message) }
    guard var step = made else { throw error("is not a step") }
    step.index = index
    step.line = try self["x_line"].integerIfPresent() ?? 0
    step.cycle = try self["x_cycle"].integerIfPresent() ?? 0
    step.label = try self["x_label"].textIfPresent()
    if !self["x_marks"].isMissing {
      for mark in try self["x_marks"].elements() { step.marks.append(try mark.text()) }
    }
    step.boundIsExplicit = try self["x_time_is_explicit"].boolIfPresent() ?? true
    if !step.boundIsExplicit {
      step.sentence = SentenceChecker.canonical(step.action, duration: nil, until: step.until)
    }
    step.recording = try self["x_record"].recording()
    return step
  }

  private func instruction() throws(ProtocolError) -> Sentence.Instruction {
    let word = try self["step"].text()
    switch word {
    case "open_circuit_voltage": return .rest
    case "constant_voltage": return .hold(Volts(try self["voltage_V"].number()))
    case "constant_current":
      let exact = try self["x_current_A"].numberIfPresent().map { Amperes($0) }
      let current: Amperes
      if let exact { current = exact } else { current = Milliamperes.amperes(try self["current_mA"].number()) }
      guard current.value != 0 else { throw self["current_mA"].error("is 0, which has no effect; rest instead") }
      return .current(current)
    default: throw self["step"].error("is “\(word)”, which is not understood by this version")
    }
  }

  private func conditions(_ instruction: Sentence.Instruction) throws(ProtocolError) -> [Sentence.Condition] {
    if self["x_until"].isMissing {
      switch instruction {
      case .current:
        return try self["until_voltage_V"].numberIfPresent().map {
          [Sentence.Condition(comparison: nil, value: .voltage(Volts($0)), offset: 0)]
        } ?? []
      case .hold:
        return try self["until_current_mA"].numberIfPresent().map {
          [Sentence.Condition(comparison: nil, value: .current(Milliamperes.amperes($0)), offset: 0)]
        } ?? []
      case .rest, .record: return []
      }
    }
    var conditions: [Sentence.Condition] = []
    for member in try self["x_until"].elements() { conditions.append(try member.condition()) }
    return conditions
  }

  private func condition() throws(ProtocolError) -> Sentence.Condition {
    guard let comparison = StopCondition.Comparison(rawValue: try self["comparison"].text()) else {
      throw self["comparison"].error("is neither “above” nor “below”")
    }
    switch StopCondition.Quantity(rawValue: try self["quantity"].text()) {
    case .voltage:
      return .init(comparison: comparison, value: .voltage(Volts(try self["threshold_V"].number())), offset: 0)
    case .current:
      return .init(comparison: comparison, value: .current(Amperes(try self["threshold_A"].number())), offset: 0)
    case nil: throw self["quantity"].error("is neither “voltage” nor “current”")
    }
  }

  func recording() throws(ProtocolError) -> Recording {
    if isMissing || value == "off" { return .off }
    if value == "all" { return .all }
    let rate = Hertz(try self["rate_Hz"].positive())
    guard rate <= CompiledProtocol.maximumFrameRate else { throw self["rate_Hz"].error("is too high") }
    return .rate(rate)
  }
}
