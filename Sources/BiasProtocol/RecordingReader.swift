import Pixels
import Quantities
import YAML

/// Reads the option “record” of a step: a short form, a mapping, or cameras by name.
struct RecordingReader {
  private static let keys = ["rate", "keep", "average", "region", "trigger"]

  let source: SourceText
  private(set) var findings = Findings()
  /// Cameras named, in the order of the file.
  private(set) var cameras: [NamedCamera] = []

  init(source: SourceText) { self.source = source }

  /// - Returns: nil when something is wrong, which then is in `findings`.
  mutating func read(_ field: YAMLField) -> StepRecording? {
    guard let cameras = field.node.entries?.first(where: { $0.key.scalar == "cameras" }) else {
      return recording(field).map { StepRecording($0) }
    }
    // What else stands there is named one by one, and not taken for a misspelled “cameras”.
    for entry in field.node.entries ?? [] where entry.key.scalar != "cameras" {
      findings.add(
        entry.key.mark, "“\(entry.key.scalar ?? "")” stands beside “cameras”", remedy: "write it under a camera's name")
    }
    return byCamera(YAMLField(node: cameras.value, name: "\(field.name).cameras"))
  }

  private mutating func byCamera(_ field: YAMLField) -> StepRecording? {
    let example = "write for example “image: 400 fps”"
    guard let entries = field.node.entries else {
      findings.add(field.node.mark, "“\(field.name)” must be a mapping, not \(field.node.kind)", remedy: example)
      return nil
    }
    guard !entries.isEmpty else {
      findings.add(field.node.mark, "“\(field.name)” names no camera", remedy: "\(example), or “record: off”")
      return nil
    }
    guard entries.count <= StepRecording.maximumCameras else {
      findings.add(
        field.node.mark, "“\(field.name)” names \(entries.count) cameras",
        remedy: "at most \(StepRecording.maximumCameras) are possible")
      return nil
    }
    var step = StepRecording.off
    for entry in entries {
      let name = findings.collect { () throws(YAMLError) in
        try YAMLField(node: entry.key, name: "\(field.name), the name of a camera,").name()
      }
      guard let name, let recording = recording(YAMLField(node: entry.value, name: "\(field.name).\(name)")) else {
        continue
      }
      cameras.append(NamedCamera(name: name, line: entry.key.mark.line, column: entry.key.mark.column))
      step.byCamera[name] = recording
    }
    return step
  }

  /// What one camera records.
  private mutating func recording(_ field: YAMLField) -> Recording? {
    switch field.node.content {
    case .scalar: phrase(field) { text throws(SentenceError) in try RecordingParser.short(text) }
    case .mapping: mapping(field)
    case .sequence:
      add(field, "cannot be a list", remedy: RecordingParser.shortForms)
    }
  }

  private mutating func mapping(_ field: YAMLField) -> Recording? {
    let known = findings.errors.count
    guard let mapping = findings.open(Self.joiningRegion(field.node), field.name, Self.keys) else { return nil }
    guard !mapping.entries.isEmpty || findings.errors.count > known else {
      return add(field, "says nothing", remedy: RecordingParser.shortForms)
    }
    var recording = Recording.all
    if let rate = mapping.ifPresent("rate") {
      recording.rate = phrase(rate) { text throws(SentenceError) in
        do throws(QuantityError) { return try FrameRate.parse(text) } catch {
          throw SentenceError(0, error.description)
        }
      }
    }
    if let keep = mapping.ifPresent("keep") {
      recording.keep = phrase(keep) { text throws(SentenceError) in try RecordingParser.keep(text) } ?? .all
    }
    recording.average =
      findings.collectIfPresent { () throws(YAMLError) in
        try mapping.ifPresent("average")?.integer(in: Recording.countsOfAverage)
      } ?? 1
    if let region = mapping.ifPresent("region") { recording.region = quantity(region, PixelRegion.init(parsing:)) }
    if let trigger = mapping.ifPresent("trigger") { recording.trigger = self.trigger(trigger) }
    guard findings.errors.count == known else { return nil }
    if let contradiction = recording.contradiction {
      let key =
        switch contradiction.part {
        case .keep: "keep"
        case .average: "average"
        case .trigger: "trigger"
        }
      let place = mapping.ifPresent(key) ?? field
      return add(place, contradiction.message, remedy: contradiction.remedy)
    }
    return recording
  }

  /// Between braces, YAML divides “region: 256 x 256 at 0, 64” at its comma; the number behind it is no key of ours.
  private static func joiningRegion(_ node: YAMLNode) -> YAMLNode {
    var entries = node.entries ?? []
    guard let index = entries.firstIndex(where: { $0.key.scalar == "region" }), index + 1 < entries.count,
      let start = entries[index].value.scalar, let top = entries[index + 1].key.scalar, Int(top) != nil,
      entries[index + 1].value.scalar == ""
    else { return node }
    entries[index].value = YAMLNode(mark: entries[index].value.mark, content: .scalar("\(start), \(top)"))
    entries.remove(at: index + 1)
    return YAMLNode(mark: node.mark, content: .mapping(entries))
  }

  private mutating func trigger(_ field: YAMLField) -> FrameTrigger? {
    let known = findings.errors.count
    guard field.node.entries != nil else {
      return add(
        field, "must be a mapping, not \(field.node.kind)",
        remedy: "write for example “{when: change > 0.5, before: 10 s, after: 5 s}”")
    }
    guard let mapping = findings.open(field.node, field.name, ["when", "before", "after"]) else { return nil }
    guard let when = findings.collect({ () throws(YAMLError) in try mapping.field("when") }) else { return nil }
    let condition = quantity(when, FrameTrigger.condition(parsing:))
    let before = time(mapping, "before", FrameTrigger.maximumBefore)
    let after = time(mapping, "after", FrameTrigger.maximumAfter)
    guard findings.errors.count == known, let condition, let before, let after else { return nil }
    guard before.value + after.value > 0 else {
      return add(
        field, "says neither how long before nor how long after", remedy: "add for example “before: 10 s, after: 5 s”")
    }
    return FrameTrigger(
      condition.statistic, condition.comparison, condition.threshold, before: before, after: after)
  }

  /// 0 where the key is not there.
  private mutating func time(_ mapping: YAMLMapping, _ key: String, _ most: Seconds) -> Seconds? {
    findings.collect { () throws(YAMLError) in
      guard let field = mapping.ifPresent(key) else { return .zero }
      let time: Seconds = try field.quantity()
      guard time.value >= 0 else { throw field.error("is \(time.exactText); it must not be below 0") }
      guard time <= most else { throw field.error("is \(time.exactText); at most \(most.exactText) is possible") }
      return time
    }
  }

  // MARK: - Values

  /// Reads words whose errors are pointed into.
  private mutating func phrase<R>(_ field: YAMLField, _ read: (String) throws(SentenceError) -> R) -> R? {
    guard let text = findings.collect({ () throws(YAMLError) in try field.text() }) else { return nil }
    do throws(SentenceError) {
      return try read(text)
    } catch {
      let message = field.error(error.message).message
      findings.add(source.mark(of: error.offset, in: field.node), message, remedy: error.remedy)
      return nil
    }
  }

  private mutating func quantity<R>(_ field: YAMLField, _ read: (String) throws(QuantityError) -> R) -> R? {
    phrase(field) { text throws(SentenceError) in
      do throws(QuantityError) { return try read(text) } catch { throw SentenceError(0, error.description) }
    }
  }

  private mutating func add<R>(_ field: YAMLField, _ message: String, remedy: String) -> R? {
    let error = field.error(message, remedy: remedy)
    findings.add(error.mark, error.message, remedy: error.remedy)
    return nil
  }
}
