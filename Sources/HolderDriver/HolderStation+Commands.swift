import Linux
package import Quantities
package import USB

/// What an operator asks of the holder outside a run, and what of it goes on beside one.
extension HolderStation {
  /// Closes these contacts and opens what their lines were at; for cabling and tests, with no run going on.
  package func route(_ channels: [HolderChannel]) throws(InstrumentError) -> [HolderChannel] {
    try refuseWhenHeld()
    try need(.route) { holder throws(InstrumentError) in try holder.route([]) }
    let wasArmed = isArmed
    if !isArmed { try arm() }
    do throws(InstrumentError) {
      try with { holder throws(InstrumentError) in try holder.route(channels) }
    } catch {
      if !wasArmed { giveUp(error) }
      throw error
    }
    try refreshState()
    return try closedChannels()
  }

  package func closedChannels() throws(InstrumentError) -> [HolderChannel] {
    try with { holder throws(InstrumentError) in
      holder.abilities.contains(.route) ? try holder.closedChannels() : []
    }
  }

  /// Every line relay opens, at once; a heater is off before.
  package func openAll() throws(InstrumentError) {
    if isHeating { try heat(to: nil) }
    try with { holder throws(InstrumentError) in try holder.openAll() }
    try refreshState()
  }

  /// Grounds all contacts for the way into the microscope, or ends that.
  package func insert(_ isOn: Bool) throws(InstrumentError) {
    // Only from the safe state (holder.md §4.2).
    if isOn, isHeating { try heat(to: nil) }
    if isOn, isArmed { try bringToRest(.cell, ending: nil) }
    try with { holder throws(InstrumentError) in try holder.insert(isOn) }
    try refreshState()
  }

  package func blank(_ isOn: Bool) throws(InstrumentError) {
    try with { holder throws(InstrumentError) in try holder.blank(isOn) }
  }

  /// Edges at the trigger inputs since they were read last.
  package func edges() throws(InstrumentError) -> [HolderEdge] {
    try with { holder throws(InstrumentError) in try holder.edges() }
  }

  /// Puts a voltage on the gate, which is at ground from the closing of the contacts on. It slews there, and stays until the
  /// contacts open.
  package func driveGate(to voltage: Volts) throws(InstrumentError) {
    guard let gate = settings.contacts.gate else {
      throw .unable(
        device: settings.model, reason: "no gate is wired; write the line it is on: “holder.contacts.gate”")
    }
    guard shouldBeClosed else {
      throw .unable(
        device: settings.model,
        reason: "a gate is driven while a run has the contacts closed, and they are open; start the run first")
    }
    try refuseWhenHeld()
    try with { holder throws(InstrumentError) in try holder.drive(gate: gate, to: voltage) }
    try refreshState()
  }

  // MARK: heater

  /// Heats to a temperature, or ends it. The heater goes off by itself when the holder becomes safe.
  package func heat(to temperature: Kelvins?) throws(InstrumentError) {
    try need(.heater) { holder throws(InstrumentError) in try holder.heat(.off) }
    guard let temperature else {
      isHeating = false
      return try with { holder throws(InstrumentError) in try holder.heat(.off) }
    }
    guard let chip = settings.profile.chip else {
      throw .unable(
        device: settings.model,
        reason: "there is no chip file; write “holder.heater.chip” with what the chip's maker says of it")
    }
    guard temperature <= chip.maximumTemperature else {
      throw .unable(
        device: settings.model,
        reason: "\(temperature) is beyond what chip \(chip.serial) bears, \(chip.maximumTemperature)")
    }
    let wasArmed = isArmed
    if !isArmed { try arm() }
    let ramp = settings.profile.heaterRamp
    let lines = settings.profile.heaterLines?.channels ?? []
    do throws(InstrumentError) {
      try with { holder throws(InstrumentError) in
        let closed = Set(try holder.closedChannels())
        if !lines.allSatisfy({ closed.contains($0) }) { try holder.route(lines) }
        try holder.heat(.temperature(temperature, kelvinsPerSecond: ramp))
      }
    } catch {
      if !wasArmed { giveUp(error) }
      throw error
    }
    isHeating = true
    try refreshState()
  }

  package func heaterReading() throws(InstrumentError) -> HeaterReading? {
    try with { holder throws(InstrumentError) in try holder.heaterReading() }
  }

  // MARK: probe

  /// Brings the probe to the sample until a current flows. Goes on with each tick, and ends in the safe state with the piezo
  /// held where it is.
  /// - Parameter mostSteps: coarse steps; nil for the configured number.
  package func beginApproach(axis: PiezoAxis?, mostSteps: Int?) throws(InstrumentError) {
    try begin(.contact, axis: axis, mostSteps: mostSteps)
  }

  /// Takes the probe back: fine motion all the way, then so many coarse steps.
  package func beginRetract(axis: PiezoAxis?, steps: Int) throws(InstrumentError) {
    try begin(.retracted(steps: steps), axis: axis, mostSteps: steps)
  }

  private func begin(_ goal: ProbeMotion.Goal, axis: PiezoAxis?, mostSteps: Int?) throws(InstrumentError) {
    try refuseWhenHeld()
    guard motion == nil else {
      throw .unable(device: settings.model, reason: "the probe is moving already; end it with: insituctl holder stop")
    }
    try need(.piezo) { holder throws(InstrumentError) in try holder.stopMotion() }
    var approach = settings.profile.approach
    approach.axis = axis ?? approach.axis
    if !isArmed { try arm() }
    var made = ProbeMotion(goal, approach, mostSteps: mostSteps ?? approach.mostSteps, now: .now)
    let contacts = settings.contacts
    // From the first message on: what fails may have moved the tip all the same.
    motion = made
    do throws(InstrumentError) {
      try with { holder throws(InstrumentError) in try made.begin(holder, contacts) }
    } catch {
      giveUp(error)
      throw error
    }
    motion = made
    lastMotion = made.progress
    report(.motion(made.progress))
  }

  /// Ends the motion where it is. When the stop fails it is tried again with every tick until the tip is known to stand.
  package func stopMotion() throws(InstrumentError) {
    guard let ending = motionEnded(.stopped, "stopped by the operator") else { return }
    try bringToRest(.cell, ending: ending)
  }

  /// How the coarse drive moves in each step, from now on until the holder is switched off.
  package func setWaveform(_ waveform: StepWaveform) throws(InstrumentError) {
    guard motion == nil else {
      throw .unable(device: settings.model, reason: "the probe is moving; end it with: insituctl holder stop")
    }
    try with { holder throws(InstrumentError) in try holder.setWaveform(waveform) }
  }

  package var isMoving: Bool { motion != nil }

  func advanceMotion(_ holder: any Holder, looksForSafety: Bool) throws(InstrumentError) {
    guard var moving = motion else { return }
    do throws(InstrumentError) {
      // A holder that has become safe holds the tip where it is: the way would never end.
      if looksForSafety {
        let state = try noticeSafety(holder)
        if state.isSafe { moving.finish(.failed, "the holder became safe by itself: \(state.safeCause)") }
      }
      try moving.advance(holder, at: .now)
    } catch {
      // What was refused half way: nothing goes on moving, and the contacts open.
      moving.finish(.failed, "\(error)")
      if error.isGone { throw error }
    }
    if moving.progress.phase.isOver { return try bringToRest(.cell, ending: moving.progress) }
    let last = lastMotion
    lastMotion = moving.progress
    motion = moving
    // The voltage changes with every look; what is told are the turns of the way.
    if last?.phase != moving.progress.phase || last?.steps != moving.progress.steps { report(.motion(moving.progress)) }
  }

  /// Says what is missing before anything else is done, in the holder's own words.
  private func need(_ ability: HolderAbilities, _ refuse: (any Holder) throws(InstrumentError) -> Void)
    throws(InstrumentError)
  {
    guard identity != nil else { throw .wire(.notFound(device: settings.model, reason: "it is not connected")) }
    guard !abilities.contains(ability) else { return }
    try with(refuse)
    throw .unable(device: settings.model, reason: "this holder cannot do that")
  }
}
