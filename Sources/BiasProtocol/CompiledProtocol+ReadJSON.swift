package import JSON
import Quantities

extension CompiledProtocol {
  /// Reads what `json` gives, or steps in unicycler's own keys without loops. Checked against its limits like a file; the
  /// error names the member.
  package init(json document: JSONValue) throws(ProtocolError) {
    let root = JSONMember(value: document, name: "")
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
    keepAtEnd = try ours["keep_at_end_s"].lookBackIfPresent()
    if !ours["cameras"].isMissing {
      for member in try ours["cameras"].elements() { cameras.append(try member.camera()) }
    }
    var named = Set(cameras.map(\.name))
    for step in steps {
      for name in step.recording.byCamera.keys.sorted() where named.insert(name).inserted {
        cameras.append(NamedCamera(name: name, line: step.line, column: min(step.line, 1)))
      }
    }
  }
}

// MARK: - Steps

extension JSONMember {
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
    step.recording = try self["x_record"].stepRecording()
    step.keepBefore = try self["x_keep_before_s"].lookBackIfPresent()
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
      case .rest, .record, .keepLast: return []
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
}
