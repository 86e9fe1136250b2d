package import Linux
package import Quantities
package import USB

/// A PalmSens potentiostat that runs MethodSCRIPT: EmStat4, Nexus, EmStat Pico (`methodscript.md`).
///
/// Each bias is a script that the instrument carries out by itself, with the cell's limits and an end by time inside: were
/// this computer gone, the cell would be open within a minute. The price: a bias does not stay on from one script to the
/// next. `finish` ends it, and a step longer than a script has a hole of some tens of milliseconds, with the cell open,
/// that the next reading is flagged for.
package final class PalmSens: PotentiostatDriver {
  package let identity: InstrumentIdentity
  package let abilities: PotentiostatAbilities
  let model: PalmSensModel
  let link: MethodScriptLink
  private let scriptTime: Double
  private let latch: SafetyLatch
  private var acquisition: Acquisition?
  private var bias = Bias.open
  private var reader: PalmSensReader
  /// What came while the cell was being opened.
  private var leftOver = Acquired()
  /// Why the script ended by itself, to be said once what it measured has been given out.
  private var ending: InstrumentError?
  private var notes: [String] = []

  /// Entries of `errors()` that nobody fetched.
  private static let mostNotes = 50
  /// V by which a cell may have changed since its voltage was read, under another bias.
  private static let relaxation = 0.2
  /// The ramp's next line may take so long.
  private static let rampPatience = Seconds(1.2)

  /// Brings the conversation into step and asks for the identity.
  ///
  /// A script that is found running is aborted and followed by `cell_off`, for nobody watches it; an instrument that is
  /// idle is left as it is.
  /// - Parameters:
  ///   - latch: while it is set no script is begun.
  ///   - scriptTime: how long one script measures.
  package init(
    _ wire: any MethodScriptWire, _ model: PalmSensModel, name: String, latch: SafetyLatch,
    scriptTime: Seconds = Seconds(PalmSensScript.longestTime)
  ) throws(InstrumentError) {
    self.model = model
    self.latch = latch
    self.scriptTime = min(scriptTime.value, PalmSensScript.longestTime)
    link = MethodScriptLink(wire, name: name)
    var abilities = PotentiostatAbilities(holdsCurrent: model.holdsCurrent, remarks: model.remarks)
    abilities.voltages = Volts(model.potential.lowerBound)...Volts(model.potential.upperBound)
    self.abilities = abilities
    reader = PalmSensReader(model: model, epoch: .now)
    if try link.synchronize() { try link.switchCellOff() }
    let found = try link.identify()
    guard model.firmware.contains(found.firmware) else {
      throw .unexpected(
        device: name, command: "t",
        answer: "\(found.firmware), which is no \(model.product); name the model that it is in the configuration")
    }
    identity = InstrumentIdentity(
      manufacturer: "PalmSens", model: model.product, serial: found.serial,
      firmware: "\(found.firmware) \(found.version), MethodSCRIPT \(found.language)")
  }

  package func close() { link.close() }

  /// What was noted. There is no queue in the instrument; while no script runs it is asked whether it answers at all.
  package func errors() throws(InstrumentError) -> [String] {
    if link.state != .running { _ = try link.identify() }
    defer { notes = [] }
    return notes
  }

  private func note(_ text: String) { if notes.count < Self.mostNotes { notes.append(text) } }

  package var ranges: [RangeFacts] { model.ranges.map(\.facts) }
  package var shortestPeriod: Seconds { Seconds(model.shortestPeriod) }
  package var range: RangeFacts {
    model.range(for: acquisition?.currentRange.value ?? 0, isSourced: bias.isHeldCurrent).facts
  }
  package func rangeHolding(_ currentRange: Amperes) -> Amperes {
    guard let lowest = model.ranges.first(where: \.isSource) else { return currentRange }
    return model.ranges[0].isSource ? currentRange : max(currentRange, lowest.facts.range)
  }
  package var voltageAccuracy: Volts { Volts(model.voltageAccuracy) }

  // MARK: Getting ready

  package func prepare(_ acquisition: Acquisition) throws(InstrumentError) {
    try open()
    guard PalmSensScript.window(model, acquisition.limits) != nil else {
      let window = model.window.map { ", within \($0) V of each other" } ?? ""
      throw .unable(
        device: link.name,
        reason: "it applies \(model.potential.lowerBound) V to \(model.potential.upperBound) V\(window); the protocol's"
          + " limits are \(acquisition.limits.voltage.lowerBound) … \(acquisition.limits.voltage.upperBound)")
    }
    self.acquisition = acquisition
  }

  package func setRange(_ currentRange: Amperes) throws(InstrumentError) {
    try open()
    acquisition?.currentRange = currentRange
  }

  package func setPeriod(_ period: Seconds) throws(InstrumentError) { acquisition?.period = period }

  // MARK: Bias

  /// Ends the script, and with it the bias: the cell is open until `begin`.
  package func finish() throws(InstrumentError) -> Acquired {
    guard bias != .open else { return Acquired() }
    try open()
    return try poll()
  }

  package func begin(_ bias: Bias, present: Volts?, isWithinLimits: (Sample) -> Bool) throws(InstrumentError)
    -> Acquired
  {
    if bias.isHeldCurrent, !model.holdsCurrent {
      throw .unable(
        device: link.name,
        reason:
          "the \(model.product) has no galvanostat and holds no current; hold voltages, or take another instrument")
    }
    if case .voltage(let volts) = bias, !model.potential.contains(volts.value) {
      throw .unable(
        device: link.name,
        reason: "\(volts) is beyond its \(model.potential.lowerBound) V … \(model.potential.upperBound) V")
    }
    if self.bias != .open || link.state != .idle { try open() }
    guard bias != .open else { return Acquired() }
    reader.isAfterHole = false
    guard try run(bias, present: present) else { throw SafetyLatch.refusal(link.name) }
    self.bias = bias
    guard case .voltage = bias else { return Acquired() }
    var ramped = Acquired()
    // The line that tells of its end may be damaged: readings would come for as long as the script lasts.
    let end = MonotonicTime.now + rampTime(bias, present) + Self.rampPatience
    while reader.phase != .holding, link.state == .running {
      guard .now < end, let output = try link.next(within: Self.rampPatience) else {
        throw .wire(.timedOut(device: link.name, operation: "the ramp to the voltage"))
      }
      ThreadPulse.beat()
      let before = ramped.samples.count
      take(output, into: &ramped)
      guard ramped.samples[before...].allSatisfy(isWithinLimits) else { break }
    }
    return ramped
  }

  /// How long the way to a voltage takes: from about what the cell had, or from the farthest limit where nobody knows. The
  /// instrument's clock is granted a tenth.
  private func rampTime(_ bias: Bias, _ present: Volts?) -> Seconds {
    guard case .voltage(let target) = bias, present != target, let acquisition,
      let window = PalmSensScript.window(model, acquisition.limits)
    else { return .zero }
    let farthest = max(abs(target.value - window.lowerBound), abs(target.value - window.upperBound))
    let away = present.map { min(farthest, abs((target - $0).value) + Self.relaxation) } ?? farthest
    return Seconds(away / PalmSensScript(model, acquisition, time: scriptTime).rampRate * 1.1)
  }

  /// Begins the script of a bias, unless somebody wants the cell safe: then it is open on return.
  /// - Returns: the script runs.
  private func run(_ bias: Bias, present: Volts?) throws(InstrumentError) -> Bool {
    guard let acquisition else {
      throw .unexpected(device: link.name, command: "a bias", answer: "the instrument was not prepared")
    }
    let script = PalmSensScript(model, acquisition, time: scriptTime, holdsCurrent: bias.isHeldCurrent)
    let lines =
      switch bias {
      case .current(.zero): script.rest()
      case .current(let amperes): script.current(amperes.value)
      case .voltage(let volts): script.voltage(volts.value, isThere: present == volts)
      case .open: ["cell_off"]
      }
    ending = nil
    try link.load(lines)
    if !latch.isSet {
      try link.start()
      reader.begin(script, startWritten: link.startWritten)
      // Asked again: whoever set it while the script was being started takes the cell to be open.
      if !latch.isSet { return true }
    }
    try open()
    return false
  }

  package func open() throws(InstrumentError) {
    bias = .open
    ending = nil
    var rest = Acquired()
    for output in try link.makeSafe() { take(output, into: &rest) }
    leftOver.samples += rest.samples
    leftOver.clockPairs += rest.clockPairs
    // The script that was ended is nobody's failure.
    ending = nil
  }

  package func poll() throws(InstrumentError) -> Acquired {
    var acquired = leftOver
    leftOver = Acquired()
    guard bias != .open else { return acquired }
    if let ending { throw ending }
    for output in try link.output() { take(output, into: &acquired) }
    if link.damagedLines > reader.damagedLines {
      note("\(link.damagedLines - reader.damagedLines) damaged lines in the script's output")
      reader.damagedLines = link.damagedLines
    }
    if let ending, acquired.samples.isEmpty { throw ending }
    if link.state == .idle, ending == nil {
      // Its time was over: the same again. The cell was open meanwhile.
      if try run(bias, present: nil) { reader.isAfterHole = true } else { bias = .open }
    }
    return acquired
  }

  private func take(_ output: MethodScriptLink.Output, into acquired: inout Acquired) {
    switch output.line {
    case .error(let error):
      note("\(error)")
      ending = .refused(
        device: link.name, command: "the running script", errors: ["\(error)", "the cell was switched off"])
    case .text(PalmSensScript.limitText):
      note("a limit inside the script opened the cell")
      ending = .refused(
        device: link.name, command: "the running script", errors: ["a limit inside the script opened the cell"])
    case .text(PalmSensScript.deadlineText): note("a script was ended by its own deadline")
    default: reader.take(output, into: &acquired)
    }
  }
}

extension Bias {
  /// A current other than that of a rest.
  fileprivate var isHeldCurrent: Bool { if case .current(let amperes) = self { amperes != .zero } else { false } }
}
