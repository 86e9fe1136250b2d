package import Quantities

/// What the firmware does each millisecond while there is something to do: contact detection, heater, protection, sweep.
extension OpenBiasingHolder {
  static let cycle = Seconds(1e-3)

  var needsCycle: Bool {
    state == .active || heater.isBusy || piezo.isStepping || piezo.isFineMoving(at: cycledTo)
  }

  /// m between tip and surface.
  func gap(at now: MonotonicTime) -> Double {
    settings.probe.gap - piezo.coarse[PiezoDrive.z] - piezo.fine(at: now)[PiezoDrive.z] * settings.probe.finePerVolt
  }

  /// V of the internal source: the contact detection's own while that is on.
  func sourceLevel(at now: MonotonicTime) -> Double {
    guard state == .active else { return bias.level(at: now) }
    return detector.isOn ? detector.bias : bias.level(at: now)
  }

  /// A through the internal meter; nothing flows unless one electrode is at the source (tap 4) and one at the meter (tap 5).
  func meterInput(at now: MonotonicTime) -> Double {
    let (tip, sample) = (settings.workingLine, settings.counterLine)
    let closed = relays.closed
    let isConnected =
      closed.contains(SCPIChannel(tip, 5)) && closed.contains(SCPIChannel(sample, 4))
      || closed.contains(SCPIChannel(tip, 4)) && closed.contains(SCPIChannel(sample, 5))
    guard isConnected, state == .active else { return 0 }
    return settings.probe.current(sourceLevel(at: now), gap: gap(at: now))
  }

  func runCycle(at now: MonotonicTime) {
    cycledTo = now
    if settings.options.contains(.heater), heater.isBusy, !heater.step(Self.cycle.value) { heaterLost(at: now) }
    showContacts(at: now)
    if state == .active {
      detect(at: now)
      protect(at: now)
      sweep(at: now)
    }
    showMotion(at: now)
  }

  func showMotion(at now: MonotonicTime) {
    status.operation.set(OperationBit.coarseMoving, piezo.isStepping)
    status.operation.set(OperationBit.sweeping, sweepStart != nil)
    status.operation.set(OperationBit.regulating, heater.mode != .off)
    status.operation.set(OperationBit.contact, detector.contact != nil)
    status.operation.set(OperationBit.waitingForTrigger, isWaitingForTrigger)
  }

  private func heaterLost(at now: MonotonicTime) {
    status.questionable.set(QuestionableBit.temperature, true)
    status.report(Self.heaterSenseOpen)
    record(.heater("OFF"), at: now)
    cell.note("holder: heater off, its sense lines are open or its resistance is out of the window", at: now)
  }

  // MARK: contact

  private func detect(at now: MonotonicTime) {
    guard detector.isOn, detector.contact == nil, now.nanoseconds >= detector.nextReading else { return }
    detector.nextReading = now.nanoseconds + Seconds(detector.dwell).nanoseconds
    let current = meterInput(at: now) + settings.contactNoise * random.normal() + forcedCurrent
    guard detector.take(current) else { return }
    detector.contact = ContactDetector.Contact(
      time_us: microseconds(now), current_A: current, steps: piezo.counts[piezo.axis])
    record(.contact(current), at: now)
    pulse(.contact, at: now)
    cell.note("holder: contact at \(current) A", at: now)
    guard detector.action != .none else { return }
    piezo.stopCoarse()
    piezo.holdFine(at: now)
    status.report(Self.contactStop)
    guard detector.action == .retract else { return }
    switch detector.retraction {
    case .steps(let count): piezo.begin(steps: -count, at: now)
    case .volts(let volts):
      var voltages = piezo.fine(at: now)
      voltages[PiezoDrive.z] = max(piezo.lowLimit, voltages[PiezoDrive.z] - volts)
      piezo.go(to: voltages, at: now)
    }
  }

  // MARK: bias

  private func protect(at now: MonotonicTime) {
    guard abs(meterInput(at: now)) > bias.currentProtection else { return overcurrentSince = nil }
    let since = overcurrentSince ?? now
    overcurrentSince = since
    guard (now - since).value >= bias.protectionDwell else { return }
    overcurrentSince = nil
    isProtectionTripped = true
    status.questionable.set(QuestionableBit.current, true)
    switchOff(at: now)
    record(.bias(0), at: now)
  }

  /// The output goes off; the line relays stay as they are.
  func switchOff(at now: MonotonicTime) {
    sweepStart = nil
    isWaitingForTrigger = false
    detector.isOn = false
    if bias.isZeroWhenOff { bias.go(to: 0, at: now) } else { bias.hold(0, at: now) }
    if state == .active { enter(.armed, at: now) }
  }

  private func sweep(at now: MonotonicTime) {
    guard let start = sweepStart else { return }
    let index = Int(((now - start).value / listDwell + 1e-9).rounded(.down))
    guard index < list.count else { return sweepStart = nil }
    guard index != sweepIndex else { return }
    sweepIndex = index
    bias.hold(list[index], at: now)
    record(.bias(list[index]), at: now)
    pulse(.step, at: now)
  }

  func startSweep(at now: MonotonicTime) {
    isWaitingForTrigger = false
    sweepStart = now
    sweepIndex = -1
    sweep(at: now)
  }

  // MARK: trigger

  package func trigger(at now: MonotonicTime) throws(SCPIError) {
    advance(to: now)
    guard isWaitingForTrigger else { throw SCPIError(-211, "Trigger ignored") }
    startSweep(at: now)
  }

  func pulse(_ source: TriggerOutput, at now: MonotonicTime) {
    guard triggerOutput == source else { return }
    pulses += 1
    record(.pulse, at: now)
  }

  // MARK: what tests do to the holder

  /// A that the contact detection reads on top of what flows.
  package func force(current: Double, at now: MonotonicTime) {
    advance(to: now)
    forcedCurrent = current
  }

  package func openHeaterSense(_ isOpen: Bool, at now: MonotonicTime) {
    advance(to: now)
    heater.isSenseOpen = isOpen
    if !isOpen { status.questionable.set(QuestionableBit.temperature, false) }
  }

  package func injectHighVoltageFault(at now: MonotonicTime) {
    advance(to: now)
    status.questionable.happen(QuestionableBit.highVoltage)
    trip(.hardware, Self.highVoltageFault, at: now)
  }

  /// V at a line now; nil while it floats.
  package func voltage(ofLine line: Int, at now: MonotonicTime) -> Double? {
    advance(to: now)
    if isShunted || relays.closed.contains(SCPIChannel(line, 0)) { return 0 }
    return state == .active && relays.closed.contains(SCPIChannel(line, 4)) ? sourceLevel(at: now) : nil
  }

  /// K of the emulated heater.
  package var heaterTemperature: Double { heater.kelvin }
  /// m between tip and surface now.
  package func tipGap(at now: MonotonicTime) -> Double {
    advance(to: now)
    return gap(at: now)
  }
}
