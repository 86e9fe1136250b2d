import HolderDriver
import Linux
import Quantities
import USB
import YAML

/// The section `holder` (docs/configuration.md).
extension Configuration {
  private static let holderKeys = [
    "model", "usb", "profile", "contacts", "heartbeat", "forbid", "cell", "safe", "leakage_limit", "readings", "piezo",
    "approach", "heater",
  ]

  static func holder(_ top: YAMLMapping) throws(YAMLError) -> HolderSettings? {
    guard top.ifPresent("holder") != nil else { return nil }
    let section = try top.mapping("holder", keys: holderKeys)
    let name = try section.field("model").choice(HolderModels.all.map(\.name))
    guard let model = HolderModels.named(name) else { throw try section.field("model").error("is no model") }
    let kind = try section.ifPresent("profile").map { field throws(YAMLError) in
      HolderKind(rawValue: try field.choice(HolderKind.allCases.map(\.rawValue)))
    }
    guard model.needsUSB else { return try passive(section, name, kind ?? nil) }

    let heartbeat = try section.quantity("heartbeat", default: Seconds(5))
    guard heartbeat.value >= 0.2, heartbeat.value <= 60 else {
      throw try section.field("heartbeat").error("heartbeat \(heartbeat) is outside 0.2 s … 60 s")
    }
    let contacts = try contacts(section, kind ?? nil)
    var settings = HolderSettings(
      model: name, usb: try match(try section.field("usb")), contacts: contacts, heartbeatTimeout: heartbeat)
    settings.readingPeriod = try section.quantity("readings", default: settings.readingPeriod)
    guard HolderSettings.readingPeriods.contains(settings.readingPeriod) else {
      throw try section.field("readings").error(
        "\(settings.readingPeriod) is outside 100 ms … 60 s",
        remedy: "write how often is read, such as “readings: 500 ms”")
    }
    settings.profile = try profile(section, kind ?? nil, contacts)
    return settings
  }

  /// A holder without electronics: nothing of it can be set.
  private static func passive(_ section: YAMLMapping, _ name: String, _ kind: HolderKind?) throws(YAMLError)
    -> HolderSettings
  {
    for entry in section.entries where !["model", "profile", "contacts"].contains(entry.key.scalar ?? "") {
      throw YAMLError(
        at: entry.key.mark, "“holder.\(entry.key.scalar ?? "")” has no meaning for the model “\(name)”",
        remedy: "a passive holder has no electronics that could do it; leave the key out")
    }
    let contacts =
      section.ifPresent("contacts") == nil ? HolderContacts(working: 1, counter: 2) : try contacts(section, kind)
    if contacts.gate != nil, let gate = try section.field("contacts").mapping(keys: contactKeys).ifPresent("gate") {
      throw gate.error(
        "has no meaning for the model “\(name)”",
        remedy: "drive the gate with another instrument, and leave it out here")
    }
    var settings = HolderSettings(model: name, usb: nil, contacts: contacts, heartbeatTimeout: Seconds(5))
    settings.profile.kind = kind
    return settings
  }

  // MARK: contacts

  private static let contactKeys = ["working", "counter", "reference", "gate"]

  private static func contacts(_ section: YAMLMapping, _ kind: HolderKind?) throws(YAMLError) -> HolderContacts {
    let field = try section.field("contacts")
    let mapping = try field.mapping(keys: contactKeys)
    let lines = HolderChannel.lines
    let contacts = HolderContacts(
      working: try mapping.integer("working", in: lines), counter: try mapping.integer("counter", in: lines),
      reference: try mapping.ifPresent("reference").map { field throws(YAMLError) in try field.integer(in: lines) },
      gate: try mapping.ifPresent("gate").map { field throws(YAMLError) in try field.integer(in: lines) })
    guard Set(contacts.lines).count == contacts.lines.count else {
      throw field.error("names one line twice", remedy: "each electrode is on a line of its own, 1 to 8")
    }
    if let kind, kind.needsReference, contacts.reference == nil {
      throw field.error(
        "has no reference electrode, and a \(kind.rawValue) has three electrodes",
        remedy: "add “reference: LINE”, or write “profile: lamella” for two electrodes")
    }
    if let kind, !kind.allowsReference, let reference = mapping.ifPresent("reference") {
      throw reference.error(
        "is not possible with the profile “\(kind.rawValue)”",
        remedy: "its tip is the working electrode and its sample the counter")
    }
    if let kind, !kind.allowsGate, let gate = mapping.ifPresent("gate") {
      throw gate.error(
        "is not possible with the profile “\(kind.rawValue)”", remedy: "a gate belongs to the profile “lamella”")
    }
    return contacts
  }

  // MARK: profile

  private static func profile(_ section: YAMLMapping, _ kind: HolderKind?, _ contacts: HolderContacts)
    throws(YAMLError) -> HolderProfile
  {
    var profile = HolderProfile()
    profile.kind = kind
    let cell = try section.ifPresent("cell")?.choice(["none", "present"]) ?? "present"
    if let safe = section.ifPresent("safe") {
      profile.groundsWhenSafe = try safe.choice(["open", "ground"]) == "ground"
      if profile.groundsWhenSafe, cell != "none" {
        throw safe.error(
          "cannot be “ground” while a cell is mounted: grounding both electrodes shorts it",
          remedy: "write “safe: open”, or “cell: none” where there is nothing that can be discharged")
      }
    }
    let fixed = HolderProfile.shorts(contacts).count
    for pair in try section.ifPresent("forbid")?.sequence() ?? [] {
      guard let parsed = ForbiddenPair(try pair.text()) else {
        throw pair.error(
          "“\(try pair.text())” is no pair of channels",
          remedy: "write LINE!TAP|LINE!TAP in quotes, such as \"3!4|3!0\"")
      }
      profile.forbidden.append(parsed)
      guard fixed + profile.forbidden.count <= HolderProfile.mostForbidden else {
        throw pair.error("is one pair too many; at most \(HolderProfile.mostForbidden - fixed) are possible")
      }
    }
    if let field = section.ifPresent("leakage_limit") {
      profile.leakageLimit = try field.quantity()
      guard (1e-15...1e-3).contains(profile.leakageLimit.value) else {
        throw field.error("is \(profile.leakageLimit); 1 fA … 1 mA is possible")
      }
    }
    try refuse(["piezo", "approach"], in: section, unless: kind?.hasPiezo ?? true, kind)
    try refuse(["heater"], in: section, unless: kind?.hasHeater ?? true, kind)
    profile.approach = try approach(section)
    if let kind, kind.hasHeater, section.ifPresent("heater") == nil {
      throw YAMLError(
        at: section.mark, "“holder.heater” is missing, and the profile is “\(kind.rawValue)”",
        remedy: "add “heater:” with “lines” and “chip”")
    }
    try readHeater(section, contacts, into: &profile)
    return profile
  }

  private static func refuse(_ keys: [String], in section: YAMLMapping, unless isAllowed: Bool, _ kind: HolderKind?)
    throws(YAMLError)
  {
    guard !isAllowed, let kind else { return }
    for key in keys {
      guard let field = section.ifPresent(key) else { continue }
      throw field.error(
        "has no meaning for the profile “\(kind.rawValue)”", remedy: "leave it out, or choose another profile")
    }
  }

  // MARK: piezo

  private static func approach(_ section: YAMLMapping) throws(YAMLError) -> ApproachSettings {
    var approach = ApproachSettings()
    let piezo = try section.mappingOrEmpty(
      "piezo", keys: ["axis", "direction", "limits", "travel", "amplitude", "frequency", "step"])
    if let axis = try piezo.ifPresent("axis")?.choice(PiezoAxis.allCases.map(\.rawValue)) {
      approach.axis = PiezoAxis(rawValue: axis) ?? approach.axis
    }
    if let direction = try piezo.ifPresent("direction")?.choice(["positive", "negative"]) {
      approach.direction = direction == "positive" ? 1 : -1
    }
    if let field = piezo.ifPresent("limits") {
      approach.limits = try field.range(of: Volts.self)
      guard approach.limits.lowerBound.value >= -150, approach.limits.upperBound.value <= 150,
        approach.limits.lowerBound.value <= 0, approach.limits.upperBound.value >= 0
      else { throw field.error("must include 0 V and lie within −150 V … 150 V") }
    }
    if let field = piezo.ifPresent("travel") { approach.travelPerVolt = try travel(field) }
    approach.amplitude = try piezo.quantity("amplitude", default: approach.amplitude)
    guard (0...150).contains(approach.amplitude.value) else {
      throw try piezo.field("amplitude").error("is \(approach.amplitude); 0 V … 150 V is possible")
    }
    approach.frequency = try piezo.quantity("frequency", default: approach.frequency)
    guard (1...20_000).contains(approach.frequency.value) else {
      throw try piezo.field("frequency").error("is \(approach.frequency); 1 Hz … 20 kHz is possible")
    }
    approach.stepLength = try piezo.quantity("step", default: approach.stepLength)
    guard approach.stepLength.value > 0, approach.isStepShortEnough else {
      throw (piezo.ifPresent("step") ?? section.ifPresent("piezo"))?.error(
        "makes coarse steps of \(approach.stepLength) with a fine range of \(approach.fineRange): a step could cross the gap unseen",
        remedy: "a step may be 70 % of the fine range at most; lower “amplitude” and measure “step” anew")
        ?? YAMLError(at: section.mark, "the coarse step is too long")
    }
    try readDetection(section, into: &approach)
    return approach
  }

  private static func readDetection(_ section: YAMLMapping, into approach: inout ApproachSettings) throws(YAMLError) {
    let detection = try section.mappingOrEmpty(
      "approach", keys: ["bias", "threshold", "dwell", "count", "finest", "max_steps", "time"])
    approach.bias = try detection.quantity("bias", default: approach.bias)
    guard 0.001...1 ~= approach.bias.value.magnitude else {
      throw try detection.field("bias").error("is \(approach.bias); 1 mV … 1 V is possible, either sign")
    }
    approach.threshold = try detection.quantity("threshold", default: approach.threshold)
    guard 1e-13...1e-6 ~= approach.threshold.value else {
      throw try detection.field("threshold").error("is \(approach.threshold); 0.1 pA … 1 uA is possible")
    }
    approach.dwell = try detection.quantity("dwell", default: approach.dwell)
    guard 1e-3...1 ~= approach.dwell.value else {
      throw try detection.field("dwell").error("is \(approach.dwell); 1 ms … 1 s is possible")
    }
    approach.count = try detection.integer("count", in: 1...1000, default: approach.count)
    approach.finestStep = try detection.quantity("finest", default: approach.finestStep)
    guard approach.finestStep.value > 0, approach.finestStep.value <= 1e-9 else {
      throw try detection.field("finest").error(
        "is \(approach.finestStep); at most 1 nm is possible",
        remedy: "the tip must not move further between two readings")
    }
    approach.mostSteps = try detection.integer("max_steps", in: 0...30_000, default: approach.mostSteps)
    approach.longest = try detection.quantity("time", default: approach.longest)
    guard 1...86_400 ~= approach.longest.value else {
      throw try detection.field("time").error("is \(approach.longest); 1 s … 24 h is possible")
    }
  }

  /// "5 nm/V" → 5e-9.
  private static func travel(_ field: YAMLField) throws(YAMLError) -> Double {
    let text = try field.text()
    let remedy = "write for example “5 nm/V”"
    guard text.hasSuffix("/V") else { throw field.error("“\(text)” is no length for each volt", remedy: remedy) }
    let length: Metres
    do throws(QuantityError) { length = try Metres(parsing: String(text.dropLast(2))) } catch {
      throw field.error("“\(text)” is no length for each volt", remedy: remedy)
    }
    guard 1e-12...1e-6 ~= length.value else { throw field.error("is \(text); 1 pm/V … 1 um/V is possible") }
    return length.value
  }

  // MARK: heater

  private static func readHeater(_ section: YAMLMapping, _ contacts: HolderContacts, into profile: inout HolderProfile)
    throws(YAMLError)
  {
    guard let field = section.ifPresent("heater") else { return }
    let heater = try field.mapping(keys: ["lines", "chip", "ramp"])
    let lines = try heater.mapping("lines", keys: ["force_high", "force_low", "sense_high", "sense_low"])
    let range = HolderChannel.lines
    let chosen = HeaterLines(
      forceHigh: try lines.integer("force_high", in: range), forceLow: try lines.integer("force_low", in: range),
      senseHigh: try lines.integer("sense_high", in: range), senseLow: try lines.integer("sense_low", in: range))
    let electrodes = contacts.lines
    guard Set(chosen.all + electrodes).count == 4 + electrodes.count else {
      throw try heater.field("lines").error(
        "name a line twice, or one that an electrode is on", remedy: "the heater has four lines of its own")
    }
    profile.heaterLines = chosen
    // A chip's heater must never see the cell's source.
    profile.chip = try chip(try heater.field("chip"))
    if let ramp = heater.ifPresent("ramp") {
      let text = try ramp.text()
      let parsed: (Double, String)
      do throws(QuantityError) { parsed = try splitNumber(text, unit: "K/s") } catch { throw ramp.error("\(error)") }
      guard parsed.1 == "K/s", 0.01...1e5 ~= parsed.0 else {
        throw ramp.error("“\(text)” is no rate", remedy: "write for example “ramp: 50 K/s”, 0.01 K/s … 100000 K/s")
      }
      profile.heaterRamp = parsed.0
    }
  }

  private static let chipKeys = ["R0", "T0", "alpha", "beta", "I_max", "T_max", "serial"]

  /// The chip's data, written here or in a file of their own.
  private static func chip(_ field: YAMLField) throws(YAMLError) -> HeaterChip {
    guard let path = field.node.scalar else { return try chip(try field.mapping(keys: chipKeys)) }
    let bytes: [UInt8]
    do throws(LinuxError) { bytes = try FileSystem.read(path, limit: YAMLNode.maximumBytes) } catch {
      throw field.error("the chip file cannot be read: \(error)", remedy: "write its path, or R0, T0, alpha, … here")
    }
    do throws(YAMLError) { return try chip(try YAMLNode(parsing: bytes).mapping(keys: chipKeys)) } catch {
      throw field.error("the chip file is wrong: \(error.described(in: path))")
    }
  }

  private static func chip(_ chip: YAMLMapping) throws(YAMLError) -> HeaterChip {
    let data = HeaterChip(
      resistance: try chip.quantity("R0"), temperature: try chip.quantity("T0"), alpha: try chip.number("alpha"),
      beta: try chip.number("beta", default: 0), maximumCurrent: try chip.quantity("I_max"),
      maximumTemperature: try chip.quantity("T_max"), serial: try chip.text("serial"))
    guard 0.1...1e5 ~= data.resistance.value else {
      throw try chip.field("R0").error("is \(data.resistance); 0.1 Ohm … 100 kOhm is possible")
    }
    guard 1e-6...0.1 ~= data.alpha else {
      throw try chip.field("alpha").error("is \(data.alpha) 1/K; 1e-6 … 0.1 is possible")
    }
    guard 1e-6...0.1 ~= data.maximumCurrent.value else {
      throw try chip.field("I_max").error("is \(data.maximumCurrent); 1 uA … 100 mA is possible")
    }
    guard data.maximumTemperature > data.temperature, data.maximumTemperature.value <= 2500 else {
      throw try chip.field("T_max").error("is \(data.maximumTemperature); it must lie above T0 and below 2500 K")
    }
    let rises = "makes a resistance that does not rise up to T_max: the temperature cannot be told from it"
    let look = "look at the chip's data again; alpha in 1/K, beta in 1/K²"
    guard data.temperature(of: data.resistance(at: data.maximumTemperature)) != nil, abs(data.beta) <= 1e-4,
      data.alpha + 2 * data.beta * (data.maximumTemperature.value - data.temperature.value) > 0
    else {
      if let beta = chip.ifPresent("beta") { throw beta.error(rises, remedy: look) }
      throw try chip.field("alpha").error(rises, remedy: look)
    }
    return data
  }
}
