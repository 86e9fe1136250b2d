import Quantities

extension OpenBiasingHolder {
  /// Closing needs an armed holder: SAFE_OPEN with closed contacts would not be what its name says. (The sheet only
  /// says that a tripped holder refuses.)
  static var routeCommands: [SCPICommand<OpenBiasingHolder>] {
    [
      SCPICommand(
        ":ROUTe:CLOSe",
        set: { (holder, call) throws(SCPIError) in
          try call.expect(1...1)
          let channels = try call.channels(lines: RelayMatrix.lines, taps: RelayMatrix.taps)
          try holder.requireArmed()
          try holder.relays.close(channels, at: call.time)
          holder.advance(to: call.time)
        }),
      SCPICommand(
        ":ROUTe:CLOSe:STATe", query: { holder, _ in .text(holder.isShunted ? "(@1!0:8!0)" : holder.relays.text) }),
      SCPICommand(
        ":ROUTe:OPEN",
        set: { (holder, call) throws(SCPIError) in
          try call.expect(1...1)
          let channels = try call.channels(lines: RelayMatrix.lines, taps: RelayMatrix.taps)
          guard holder.state != .insert else { throw .settingsConflict }
          holder.relays.open(channels, at: call.time)
          holder.advance(to: call.time)
        }),
      SCPICommand(
        ":ROUTe:OPEN:ALL",
        set: { (holder, call) throws(SCPIError) in
          guard holder.state != .insert else { throw .settingsConflict }
          for action in holder.relays.openAllNow(at: call.time) { holder.note(action) }
          holder.showContacts(at: call.time)
        }),
      SCPICommand(
        ":ROUTe:SEQuence",
        set: { (holder, call) throws(SCPIError) in
          holder.relays.makesBeforeBreak = try call.keyword([("BBM", false), ("MBB", true)])
        }, query: { holder, _ in .text(holder.relays.makesBeforeBreak ? "MBB" : "BBM") }),
      SCPICommand(
        ":ROUTe:SETTle",
        set: { (holder, call) throws(SCPIError) in
          holder.relays.settlingTime = Seconds(try call.number(in: 0...1, default: 2e-3))
        }, query: { holder, _ in .number(holder.relays.settlingTime.value) }),
      SCPICommand(
        ":ROUTe:FORBid",
        set: { (holder, call) throws(SCPIError) in holder.relays.forbidden = try holder.pairs(try call.argument(0)) },
        query: { holder, _ in
          let pairs = holder.relays.forbidden.map { "\($0.a.line)!\($0.a.tap)|\($0.b.line)!\($0.b.tap)" }
          return .text("(@\(pairs.joined(separator: ",")))")
        }),
      SCPICommand(
        ":ROUTe:CYCLes",
        query: { (holder, call) throws(SCPIError) in
          let channels = try call.channels(lines: RelayMatrix.lines, taps: RelayMatrix.taps)
          return .text(channels.map { String(holder.relays.cycles[$0] ?? 0) }.joined(separator: ","))
        }),
    ]
  }

  /// `(@1!4|1!0,2!4|2!0)`; `(@)` for none.
  private func pairs(_ text: String) throws(SCPIError) -> [RelayMatrix.Pair] {
    guard text.hasPrefix("(@"), text.hasSuffix(")") else { throw .dataType }
    var pairs: [RelayMatrix.Pair] = []
    for item in text.dropFirst(2).dropLast().split(separator: ",") {
      let ends = item.split(separator: "|", omittingEmptySubsequences: false)
      guard ends.count == 2 else { throw .syntax }
      let a = try SCPICall.channel(ends[0], lines: RelayMatrix.lines, taps: RelayMatrix.taps)
      let b = try SCPICall.channel(ends[1], lines: RelayMatrix.lines, taps: RelayMatrix.taps)
      guard a != b else { throw .illegalValue }
      pairs.append(RelayMatrix.Pair(a: a, b: b))
    }
    return pairs
  }
}
