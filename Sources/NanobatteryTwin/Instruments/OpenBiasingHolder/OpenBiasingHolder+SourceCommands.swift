import Quantities

/// The holder's own bias source: goes to its level with a slew rate.
struct BiasSource {
  /// Levels of a list; a line of 256 bytes holds fewer with many digits.
  static let longestList = 100

  var range = 10.0
  /// V/s.
  var slew = 1.0
  var lowLimit = -10.0
  var highLimit = 10.0
  var currentProtection = 1e-6
  var protectionDwell = 0.0
  var isZeroWhenOff = false
  private(set) var target = 0.0
  private var from = 0.0
  private var start = MonotonicTime(nanoseconds: 0)

  func level(at now: MonotonicTime) -> Double {
    let moved = slew * max(0, (now - start).value)
    return from < target ? min(target, from + moved) : max(target, from - moved)
  }

  mutating func go(to value: Double, at now: MonotonicTime) {
    from = level(at: now)
    start = now
    target = value
  }

  /// At once, without slewing.
  mutating func hold(_ value: Double, at now: MonotonicTime) {
    from = value
    target = value
    start = now
  }
}

extension OpenBiasingHolder {
  static var sourceCommands: [SCPICommand<OpenBiasingHolder>] {
    [
      SCPICommand(
        ":OUTPut[:STATe]",
        set: { (holder, call) throws(SCPIError) in
          try call.expect(1...1)
          if try call.flag() {
            try holder.requireArmed()
            guard !holder.isProtectionTripped else { throw .settingsConflict }
            holder.enter(.active, at: call.time)
            holder.cycledTo = call.time
          } else if holder.state == .active {
            holder.switchOff(at: call.time)
          } else if holder.state == .insert {
            throw .settingsConflict
          }
        }, query: { holder, _ in .flag(holder.state == .active) }),
      SCPICommand(
        ":OUTPut[:STATe]:MODE",
        set: { (holder, call) throws(SCPIError) in
          holder.bias.isZeroWhenOff = try call.keyword([("HIMPedance", false), ("ZERO", true)])
        }, query: { holder, _ in .text(holder.bias.isZeroWhenOff ? "ZERO" : "HIMP") }),
      SCPICommand(
        ":SOURce:VOLTage[:LEVel]",
        set: { (holder, call) throws(SCPIError) in
          let bias = holder.bias
          let lowest = max(bias.lowLimit, -bias.range)
          let highest = min(bias.highLimit, bias.range)
          let level = try call.number(in: lowest...highest, default: 0)
          try holder.requireArmed()
          holder.bias.go(to: level, at: call.time)
          holder.record(.bias(level), at: call.time)
        }, query: { holder, _ in .number(holder.bias.target) }),
      SCPICommand(
        ":SOURce:VOLTage:RANGe",
        set: { (holder, call) throws(SCPIError) in
          let range = try call.number(in: 1...10, default: 10)
          guard range == 1 || range == 10 else { throw .illegalValue }
          guard abs(holder.bias.target) <= range else { throw .settingsConflict }
          holder.bias.range = range
        }, query: { holder, _ in .number(holder.bias.range) }),
      SCPICommand(
        ":SOURce:VOLTage:SLEW",
        set: { (holder, call) throws(SCPIError) in
          let slew = try call.number(in: 1e-6...1000, default: 1)
          let target = holder.bias.target
          holder.bias.hold(holder.bias.level(at: call.time), at: call.time)
          holder.bias.slew = slew
          holder.bias.go(to: target, at: call.time)
        }, query: { holder, _ in .number(holder.bias.slew) }),
      SCPICommand(
        ":SOURce:VOLTage:LIMit:LOW",
        set: { (holder, call) throws(SCPIError) in
          holder.bias.lowLimit = try call.number(in: -10...0, default: -10)
        }, query: { holder, _ in .number(holder.bias.lowLimit) }),
      SCPICommand(
        ":SOURce:VOLTage:LIMit:HIGH",
        set: { (holder, call) throws(SCPIError) in
          holder.bias.highLimit = try call.number(in: 0...10, default: 10)
        }, query: { holder, _ in .number(holder.bias.highLimit) }),
      SCPICommand(
        ":SOURce:VOLTage:PROTection:CURRent",
        set: { (holder, call) throws(SCPIError) in
          holder.bias.currentProtection = try call.number(in: 1e-12...1e-3, default: 1e-6)
        }, query: { holder, _ in .number(holder.bias.currentProtection) }),
      SCPICommand(
        ":SOURce:VOLTage:PROTection:DELay",
        set: { (holder, call) throws(SCPIError) in
          holder.bias.protectionDwell = try call.number(in: 0...10, default: 0)
        }, query: { holder, _ in .number(holder.bias.protectionDwell) }),
      SCPICommand(":SOURce:VOLTage:PROTection:TRIPped", query: { holder, _ in .flag(holder.isProtectionTripped) }),
      SCPICommand(
        ":SOURce:VOLTage:PROTection:CLEar",
        set: { holder, _ in
          holder.isProtectionTripped = false
          holder.status.questionable.set(QuestionableBit.current, false)
        }),
      SCPICommand(
        ":SOURce:VOLTage:LIST",
        set: { (holder, call) throws(SCPIError) in
          try call.expect(1...BiasSource.longestList)
          let lowest = max(holder.bias.lowLimit, -holder.bias.range)
          let highest = min(holder.bias.highLimit, holder.bias.range)
          var levels: [Double] = []
          for index in call.arguments.indices { levels.append(try call.number(index, in: lowest...highest)) }
          guard holder.sweepStart == nil else { throw .settingsConflict }
          holder.list = levels
        },
        query: { holder, _ in .text(holder.list.map { SCPIText.scientific($0) }.joined(separator: ",")) }),
      SCPICommand(
        ":SOURce:LIST:DWELl",
        set: { (holder, call) throws(SCPIError) in
          let dwell = try call.number(in: 1e-3...1000, default: 0.1)
          guard holder.sweepStart == nil else { throw .settingsConflict }
          holder.listDwell = dwell
        }, query: { holder, _ in .number(holder.listDwell) }),
      SCPICommand(
        ":INITiate[:IMMediate]",
        set: { (holder, call) throws(SCPIError) in
          guard holder.state == .active, !holder.list.isEmpty else { throw .settingsConflict }
          if holder.triggerInput == .immediate {
            holder.startSweep(at: call.time)
          } else {
            holder.isWaitingForTrigger = true
          }
          holder.showMotion(at: call.time)
        }),
      SCPICommand(
        ":ABORt",
        set: { holder, call in
          holder.sweepStart = nil
          holder.isWaitingForTrigger = false
          holder.showMotion(at: call.time)
        }),
    ]
  }
}
