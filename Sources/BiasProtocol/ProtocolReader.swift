import Quantities
import YAML

extension CompiledProtocol {
  /// Parses, checks and expands a protocol in YAML (design §7).
  package init(parsing text: String) throws(ProtocolErrors) { try self.init(parsing: Array(text.utf8)) }

  /// The same from the bytes of a file.
  package init(parsing bytes: [UInt8]) throws(ProtocolErrors) {
    let root: YAMLNode
    do throws(YAMLError) {
      root = try YAMLNode(parsing: bytes)
    } catch {
      throw ProtocolErrors([ProtocolError(error)])
    }
    var reader = ProtocolReader(text: String(decoding: bytes, as: UTF8.self))
    let compiled = reader.read(root)
    let errors = reader.findings.errors
    guard let compiled, errors.isEmpty else { throw ProtocolErrors(errors) }
    self = compiled
  }
}

/// Reads the settings of a protocol and collects what is wrong.
struct ProtocolReader {
  private(set) var findings = Findings()
  private let text: String

  init(text: String) { self.text = text }

  mutating func read(_ root: YAMLNode) -> CompiledProtocol? {
    let keys = ["protocol", "name", "sample", "limits", "acquire", "max_step", "wait_for_instruments", "steps"]
    guard let top = findings.open(root, "", keys) else { return nil }
    // Another version may mean other things by the same words, so nothing else is said about it.
    let version = findings.collect { () throws(YAMLError) in try top.integer("protocol") }
    if let version, version != 1 {
      let mark = top.ifPresent("protocol")?.node.mark ?? root.mark
      findings = Findings()
      findings.add(
        mark, "version \(version) of the language is not understood by this version", remedy: "write “protocol: 1”")
      return nil
    }
    let name = findings.collect { () throws(YAMLError) in try top.field("name").name() }
    let sample = section(top, "sample", ["id", "area"])
    let sampleID = findings.collectIfPresent { () throws(YAMLError) in try sample?.ifPresent("id")?.name() }
    let sampleArea = findings.collectIfPresent { () throws(YAMLError) in
      try sample?.ifPresent("area")?.positive(SquareMetres.self)
    }
    var checker = SentenceChecker()
    let dose = readLimits(top, into: &checker)
    let voltageRange = readAcquire(top, into: &checker)
    if let longest = findings.collectIfPresent({ () throws(YAMLError) in
      try top.ifPresent("max_step")?.positive(Seconds.self)
    }) {
      checker.maximumStep = longest
    }
    let wait = findings.collectIfPresent { () throws(YAMLError) in
      let wait = try top.ifPresent("wait_for_instruments")?.positive(Seconds.self)
      if let wait, wait > CompiledProtocol.maximumWait {
        throw try top.field("wait_for_instruments").error(
          "is \(wait.exactText); at most \(CompiledProtocol.maximumWait.exactText) is possible")
      }
      return wait
    }
    let (steps, keepAtEnd, cameras) = readSteps(top, checker)
    guard findings.errors.isEmpty, let name, let voltage = checker.voltage, let current = checker.current else {
      return nil
    }
    var compiled = CompiledProtocol(
      name: name, sampleID: sampleID, sampleArea: sampleArea,
      limits: Limits(voltage: voltage, current: current, dose: dose), samplePeriod: checker.samplePeriod,
      range: checker.range, voltageRange: voltageRange, steps: steps, text: text)
    compiled.waitForInstruments = wait
    compiled.keepAtEnd = keepAtEnd
    compiled.cameras = cameras
    return compiled
  }

  // MARK: - Sections

  private mutating func readLimits(_ top: YAMLMapping, into checker: inout SentenceChecker) -> ElectronDose? {
    guard top.ifPresent("limits") != nil else {
      findings.add(
        top.mark, "“limits” is missing: every run needs limits of voltage and current",
        remedy: "add for example “limits: {voltage: [-0.5 V, 4.5 V], current: [-100 pA, 100 pA]}”")
      return nil
    }
    guard let limits = section(top, "limits", ["voltage", "current", "dose"]) else { return nil }
    (checker.voltage, checker.voltageLine) = limit(limits, "voltage", "[-0.5 V, 4.5 V]")
    (checker.current, checker.currentLine) = limit(limits, "current", "[-100 pA, 100 pA]")
    if let current = checker.current, !current.contains(.zero) {
      findings.add(
        limits.ifPresent("current")?.node.mark ?? limits.mark,
        "limits.current \(current.text) leaves out 0 A, which flows at rest", remedy: "let the limits enclose 0 A")
    }
    return findings.collectIfPresent { () throws(YAMLError) in try limits.ifPresent("dose")?.positive(ElectronDose.self)
    }
  }

  private mutating func limit<Q: PhysicalQuantity>(
    _ limits: YAMLMapping, _ key: String, _ example: String
  ) -> (ClosedRange<Q>?, line: Int) {
    guard let field = limits.ifPresent(key) else {
      findings.add(
        limits.mark, "“limits.\(key)” is missing: the cell must not be without it",
        remedy: "add for example “\(key): \(example)”")
      return (nil, 0)
    }
    return (findings.collect { () throws(YAMLError) in try field.range(of: Q.self) }, field.node.mark.line)
  }

  /// Gives the voltage range.
  private mutating func readAcquire(_ top: YAMLMapping, into checker: inout SentenceChecker) -> Volts? {
    guard let acquire = section(top, "acquire", ["sample", "range", "voltage_range"]) else { return nil }
    let period = findings.collectIfPresent { () throws(YAMLError) in
      let period = try acquire.ifPresent("sample")?.positive(Seconds.self)
      if let period, period > CompiledProtocol.maximumSamplePeriod {
        throw try acquire.field("sample").error(
          "is \(period.exactText); at most \(CompiledProtocol.maximumSamplePeriod.exactText) is possible, because the"
            + " limits are checked on every sample")
      }
      return period
    }
    if let period { checker.samplePeriod = period }
    checker.range = findings.collectIfPresent { () throws(YAMLError) in
      try acquire.ifPresent("range")?.positive(Amperes.self)
    }
    return findings.collectIfPresent { () throws(YAMLError) in
      try acquire.ifPresent("voltage_range")?.positive(Volts.self)
    }
  }

  private mutating func readSteps(_ top: YAMLMapping, _ checker: SentenceChecker) -> (
    steps: [Step], keepAtEnd: Seconds?, cameras: [NamedCamera]
  ) {
    let nothing: ([Step], Seconds?, [NamedCamera]) = ([], nil, [])
    guard let field = findings.collect({ () throws(YAMLError) in try top.field("steps") }) else { return nothing }
    var reader = StepReader(checker: checker, source: SourceText(text))
    let elements = reader.elements(field, nesting: 0)
    findings.add(contentsOf: reader.findings.errors)
    guard reader.findings.errors.isEmpty else { return nothing }
    let total = elements.expandedSteps
    guard total > 0 else {
      findings.add(field.node.mark, "“steps” has no step", remedy: "add for example “- Rest for 60 s”")
      return nothing
    }
    guard total <= CompiledProtocol.maximumSteps else {
      findings.add(
        field.node.mark,
        "written out, the protocol has \(total == .max ? "far too many" : "\(total)") steps; at most"
          + " \(CompiledProtocol.maximumSteps) are possible", remedy: "repeat less often")
      return nothing
    }
    let expansion = Expansion(elements)
    findings.add(contentsOf: expansion.errors(in: elements))
    return (expansion.steps, expansion.keepLast, reader.cameras)
  }

  private mutating func section(_ top: YAMLMapping, _ key: String, _ keys: [String]) -> YAMLMapping? {
    top.ifPresent(key).flatMap { findings.open($0.node, key, keys) }
  }
}

extension YAMLField {
  /// A quantity above zero.
  func positive<Q: PhysicalQuantity>(_ type: Q.Type) throws(YAMLError) -> Q {
    let quantity: Q = try quantity()
    guard quantity.value > 0 else { throw error("is \(quantity.exactText); it must be above 0") }
    return quantity
  }

  /// A name for people: one line, not too long.
  func name() throws(YAMLError) -> String {
    let text = try text()
    guard text.utf8.count <= CompiledProtocol.maximumNameBytes else {
      throw error("is longer than \(CompiledProtocol.maximumNameBytes) bytes")
    }
    guard text.unicodeScalars.allSatisfy({ $0.value >= 32 && $0.value != 127 && !(0x80...0x9F).contains($0.value) })
    else { throw error("must be on one line, without control characters") }
    return text
  }
}
