import Quantities
import YAML

/// Reads the list of steps: sentences, marks, repeats, sentences with options.
struct StepReader {
  let checker: SentenceChecker
  let source: SourceText
  private(set) var findings = Findings()
  /// Cameras named so far, each where it is named first.
  private(set) var cameras: [NamedCamera] = []

  init(checker: SentenceChecker, source: SourceText) {
    self.checker = checker
    self.source = source
  }

  mutating func elements(_ field: YAMLField, nesting: Int) -> [ProtocolElement] {
    guard let fields = findings.collect({ () throws(YAMLError) in try field.sequence() }) else { return [] }
    if fields.isEmpty {
      findings.add(field.node.mark, "“\(field.name)” is empty", remedy: "add for example “- Rest for 60 s”")
    }
    return fields.compactMap { element($0, nesting: nesting) }
  }

  private mutating func element(_ field: YAMLField, nesting: Int) -> ProtocolElement? {
    switch field.node.content {
    case .scalar:
      return sentence(field.node, options: nil, name: field.name)
    case .sequence:
      findings.add(field.node.mark, "a step cannot be a list", remedy: "write “repeat: 1” with “steps:” to group steps")
      return nil
    case .mapping(let entries):
      let keys = entries.compactMap(\.key.scalar)
      if keys.contains("repeat") || keys.contains("steps") { return loop(field, nesting: nesting) }
      if keys.contains("mark") { return mark(field) }
      guard let first = entries.first else {
        findings.add(field.node.mark, "an empty step has no effect", remedy: "remove it")
        return nil
      }
      if entries.count > 1 {
        let isOption = Self.options.contains(entries[1].key.scalar ?? "")
        findings.add(
          entries[1].key.mark, "“\(entries[1].key.scalar ?? "")” does not belong here",
          remedy: isOption
            ? "indent it further than the sentence above, which it is an option of"
            : "begin each step with “- ” on a line of its own")
        return nil
      }
      if first.value.scalar == "" {
        findings.add(first.key.mark, "no option follows the “:”", remedy: "remove the “:”")
        return nil
      }
      return sentence(first.key, options: first.value, name: field.name)
    }
  }

  // MARK: - Marks and repeats

  private mutating func mark(_ field: YAMLField) -> ProtocolElement? {
    guard let mapping = findings.open(field.node, field.name, ["mark"]),
      let name = findings.collect({ () throws(YAMLError) in try mapping.field("mark").name() })
    else { return nil }
    return .mark(name, field.node.mark)
  }

  private mutating func loop(_ field: YAMLField, nesting: Int) -> ProtocolElement? {
    guard let mapping = findings.open(field.node, field.name, ["repeat", "steps"]) else { return nil }
    let count = findings.collect { () throws(YAMLError) in
      try mapping.integer("repeat", in: 1...CompiledProtocol.maximumSteps)
    }
    guard let steps = findings.collect({ () throws(YAMLError) in try mapping.field("steps") }) else { return nil }
    guard nesting < CompiledProtocol.maximumNesting else {
      findings.add(
        field.node.mark, "“repeat” is nested deeper than \(CompiledProtocol.maximumNesting)",
        remedy: "write some of the steps out")
      return nil
    }
    let known = findings.errors.count
    let body = elements(steps, nesting: nesting + 1)
    guard let count, findings.errors.count == known else { return nil }
    guard body.expandedSteps > 0 else {
      findings.add(field.node.mark, "this “repeat” has no step and no effect", remedy: "add a step to it")
      return nil
    }
    return .loop(count, body, field.node.mark)
  }

  // MARK: - Sentences

  private static let options = ["record", "range"]

  private mutating func sentence(_ node: YAMLNode, options: YAMLNode?, name: String) -> ProtocolElement? {
    let ownRecording: StepRecording?
    let ownRange: Amperes?
    if let options {
      guard let mapping = findings.open(options, name, Self.options) else { return nil }
      ownRecording = mapping.ifPresent("record").flatMap { recording($0) }
      ownRange = findings.collectIfPresent { () throws(YAMLError) in
        try mapping.ifPresent("range")?.positive(Amperes.self)
      }
    } else {
      (ownRecording, ownRange) = (nil, nil)
    }
    let text = node.scalar ?? ""
    guard !text.isEmpty else {
      findings.add(node.mark, "an empty step has no effect", remedy: "remove the “-”")
      return nil
    }
    guard text.utf8.count <= CompiledProtocol.maximumSentenceBytes else {
      findings.add(
        node.mark, "a sentence of \(text.utf8.count) bytes; at most \(CompiledProtocol.maximumSentenceBytes) are read",
        remedy: "write one step for each “- ”")
      return nil
    }
    var found: [SentenceError] = []
    let known = findings.errors.count
    var element: ProtocolElement?
    do throws(SentenceError) {
      let sentence = try SentenceParser.parse(text)
      switch sentence.instruction {
      case .record(let recording): element = .recording(recording, node.mark)
      case .keepLast(let time): element = .keepLast(time, node.mark)
      case .rest, .current, .hold:
        if var step = checker.step(sentence, ownRange: ownRange, report: { found.append($0) }) {
          step.line = node.mark.line
          element = .step(step, ownRecording: ownRecording)
        }
      }
      if element?.isStep == false, options != nil {
        found.append(SentenceError(0, "a sentence about recording takes no options", remedy: "remove the options"))
      }
    } catch {
      found.append(error)
    }
    for error in found {
      findings.add(source.mark(of: error.offset, in: node), error.message, remedy: error.remedy)
    }
    return findings.errors.count == known ? element : nil
  }

  private mutating func recording(_ field: YAMLField) -> StepRecording? {
    var reader = RecordingReader(source: source)
    let recording = reader.read(field)
    findings.add(contentsOf: reader.findings.errors)
    for camera in reader.cameras where !cameras.contains(where: { $0.name == camera.name }) { cameras.append(camera) }
    return recording
  }
}
