package import Quantities

extension OpenBiasingHolder {
  /// The safe state: line relays open first, sources go to zero after them, never the other way round: zeroing first
  /// would short the cell through the source (holder.md §4.2).
  func makeSafe(_ why: Cause, at now: MonotonicTime) {
    cause = why
    // Grounded contacts stay grounded: nothing is connected to them, and a floating chip may die of it (§4.2).
    if state == .insert { return }
    detector.isOn = false
    sweepStart = nil
    isWaitingForTrigger = false
    piezo.stopCoarse()
    piezo.holdFine(at: now)
    let used = relays.closed.filter { $0.tap < Self.heaterTaps.lowerBound }
    for action in relays.openAllNow(at: now) { note(action) }
    showContacts(at: now)
    let zeroAt = now + Self.zeroDelay
    zeroSourcesAt = zeroAt
    groundAfterZero = groundsWhenSafe ? Set(used.map { SCPIChannel($0.line, 0) }).sorted() : []
    enter(why == .hardware ? .fault : .safeOpen, at: now)
    cell.note(
      "holder: \(state.rawValue) cause \(why.rawValue); relays open at \(now.nanoseconds), DAC zero at "
        + "\(zeroAt.nanoseconds)", at: now)
  }

  /// As `makeSafe`, and locked until `SYST:SAF:CLE`.
  func trip(_ why: Cause, _ error: SCPIError?, at now: MonotonicTime) {
    makeSafe(why, at: now)
    isTripped = true
    if let error { status.report(error) }
  }

  func zeroSources(at now: MonotonicTime) {
    zeroSourcesAt = nil
    if heater.mode != .off {
      heater.enter(.off)
      record(.heater("OFF"), at: now)
    }
    bias.hold(0, at: now)
    record(.bias(0), at: now)
    if !holdsPiezoWhenSafe { piezo.go(to: [0, 0, 0], at: now) }
    showMotion(at: now)
    guard !groundAfterZero.isEmpty else { return }
    // Cannot fail: every relay is open.
    try? relays.close(groundAfterZero, at: now)
    groundAfterZero = []
  }

  package func usbLost(at now: MonotonicTime) {
    advance(to: now)
    if state == .armed || state == .active { trip(.usb, nil, at: now) }
  }

  // MARK: what happens around the holder

  /// The shunt bank and the grounding relays of all lines, through 1 MΩ each.
  func shunt(_ isClosed: Bool, at now: MonotonicTime) {
    guard isShunted != isClosed else { return }
    isShunted = isClosed
    record(.shunt(closed: isClosed), at: now)
  }

  static let heaterTaps = 6...9

  var interlockIsClosed: Bool { interlock.indices.allSatisfy { interlock[$0] || interlockMask & (1 << $0) == 0 } }

  /// Key, vacuum, holder seated, temperature: true is good.
  package func setInterlock(key: Bool, vacuum: Bool, holder: Bool, temperature: Bool, at now: MonotonicTime) {
    advance(to: now)
    interlock = [key, vacuum, holder, temperature]
    status.questionable.set(QuestionableBit.interlock, !interlockIsClosed)
    if !interlockIsClosed, state == .armed || state == .active { trip(.interlock, Self.interlockOpen, at: now) }
  }

  package func injectHardwareFault(at now: MonotonicTime) {
    advance(to: now)
    trip(.hardware, Self.hardwareFault, at: now)
  }

  /// An edge at a trigger input; a full queue keeps the oldest.
  package func edge(input: UInt8, rising: Bool, at now: MonotonicTime) {
    edgeCount &+= 1
    let edge = HolderEdge(time_us: microseconds(now), input: input, slope: rising ? 1 : 0, count: edgeCount)
    if !edges.append(edge) { status.questionable.happen(QuestionableBit.overflow) }
    if isWaitingForTrigger, triggerInput == .external, rising == triggersOnRise { startSweep(at: now) }
  }

  func microseconds(_ now: MonotonicTime) -> UInt64 { UInt64(max(0, clock.device(at: now)) / 1000) }

  // MARK: commands

  /// Refuses what would bring voltage or current to the cell.
  func requireArmed() throws(SCPIError) {
    guard !isTripped, state == .armed || state == .active else { throw .settingsConflict }
  }

  static var safetyCommands: [SCPICommand<OpenBiasingHolder>] {
    [
      SCPICommand(
        ":SYSTem:ARM",
        set: { (holder, call) throws(SCPIError) in
          try call.expect(0...0)
          if holder.state == .armed || holder.state == .active { return }
          // Without a heartbeat nothing would open the cell when the host dies (holder.md §4.3: "0 = off only in
          // SAFE_OPEN").
          guard holder.state == .safeOpen, !holder.isTripped, holder.interlockIsClosed,
            holder.heartbeatTimeout.value > 0
          else { throw .settingsConflict }
          holder.cause = .none
          holder.heartbeatReload = call.time
          holder.enter(.armed, at: call.time)
        }),
      SCPICommand(":SYSTem:SAFe", set: { holder, call in holder.makeSafe(.host, at: call.time) }),
      SCPICommand(
        ":SYSTem:SAFe:CLEar",
        set: { (holder, call) throws(SCPIError) in
          guard holder.interlockIsClosed else { throw .settingsConflict }
          holder.isTripped = false
          holder.cause = .none
          if holder.state == .fault { holder.enter(.safeOpen, at: call.time) }
        }),
      SCPICommand(":SYSTem:SAFe:CAUSe", query: { holder, _ in .text("\"\(holder.cause.rawValue)\"") }),
      SCPICommand(
        ":SYSTem:SAFe:ACTion",
        set: { (holder, call) throws(SCPIError) in
          let grounds = try call.keyword([("OPEN", false), ("GROund", true)])
          guard !grounds || holder.cellIsDeclaredAbsent else { throw .settingsConflict }
          holder.groundsWhenSafe = grounds
        }, query: { holder, _ in .text(holder.groundsWhenSafe ? "GRO" : "OPEN") }),
      SCPICommand(
        ":SYSTem:SAFe:CELL",
        set: { (holder, call) throws(SCPIError) in
          holder.cellIsDeclaredAbsent = try call.keyword([("NONE", true), ("PRESent", false)])
          if !holder.cellIsDeclaredAbsent { holder.groundsWhenSafe = false }
        }, query: { holder, _ in .text(holder.cellIsDeclaredAbsent ? "NONE" : "PRES") }),
      SCPICommand(
        ":SYSTem:SAFe:PIEZo",
        set: { (holder, call) throws(SCPIError) in
          holder.holdsPiezoWhenSafe = try call.keyword([("HOLD", true), ("ZERO", false)])
        }, query: { holder, _ in .text(holder.holdsPiezoWhenSafe ? "HOLD" : "ZERO") }),
      SCPICommand(
        ":SYSTem:INSert",
        set: { (holder, call) throws(SCPIError) in
          let inserts = try call.flag()
          guard holder.state == (inserts ? .safeOpen : .insert), !holder.isTripped else { throw .settingsConflict }
          // Closed before, opened after the state says so: INSERT always means grounded.
          if inserts { holder.shunt(true, at: call.time) }
          holder.enter(inserts ? .insert : .safeOpen, at: call.time)
          if !inserts { holder.shunt(false, at: call.time) }
        }, query: { holder, _ in .flag(holder.state == .insert) }),
      SCPICommand(":SYSTem:HEARtbeat", set: { (holder, call) throws(SCPIError) in try holder.heartbeat(call) }),
      SCPICommand(
        ":SYSTem:HEARtbeat:TIMeout",
        set: { (holder, call) throws(SCPIError) in
          let span = try call.number(in: 0...60, default: 5)
          guard span == 0 || span >= 0.2 else { throw .outOfRange }
          guard span > 0 || holder.state == .safeOpen else { throw .settingsConflict }
          holder.heartbeatTimeout = Seconds(span)
        }, query: { holder, _ in .number(holder.heartbeatTimeout.value) }),
      SCPICommand(
        ":SYSTem:HEARtbeat:STATe",
        query: { holder, call in
          let left = holder.heartbeatDeadline.map { ($0 - call.time).value } ?? holder.heartbeatTimeout.value
          let token = holder.heartbeatToken ?? 0
          return .text("\(SCPIText.scientific(max(0, left))),\(token),\(holder.heartbeatExpirations)")
        }),
      SCPICommand(
        ":INTerlock:STATe",
        query: { holder, _ in .text(holder.interlock.map { $0 ? "1" : "0" }.joined(separator: ",")) }),
      SCPICommand(
        ":INTerlock:MASK",
        set: { (holder, call) throws(SCPIError) in
          // A set bit is watched: 1 key, 2 vacuum, 4 holder, 8 temperature (the sheet leaves the sense open).
          holder.interlockMask = try call.integer(in: 0...15, default: 15)
        }, query: { holder, _ in .integer(holder.interlockMask) }),
    ]
  }

  /// Reloads the timer; the token must change, so that something that repeats old bytes keeps nothing alive.
  private func heartbeat(_ call: SCPICall) throws(SCPIError) {
    try call.expect(1...1)
    let text = try call.argument(0)
    guard let number = SCPICall.number(text), number == number.rounded() else { throw .dataType }
    guard let token = UInt32(exactly: number) else { throw .outOfRange }
    guard token != heartbeatToken else { throw .illegalValue }
    heartbeatToken = token
    heartbeatReload = call.time
  }
}
