import Quantities

extension OpenBiasingHolder {
  /// Motion needs an armed holder, so that it stops when the host falls silent.
  private func requirePiezo() throws(SCPIError) {
    guard settings.options.contains(.piezo) else { throw Self.hardwareMissing }
  }

  static var piezoCommands: [SCPICommand<OpenBiasingHolder>] {
    [
      SCPICommand(
        ":SOURce:PIEZo:COARse:AXIS",
        set: { (holder, call) throws(SCPIError) in
          try holder.requirePiezo()
          let axis = try call.keyword([("X", 0), ("Y", 1), ("Z", 2)])
          guard !holder.piezo.isStepping else { throw .settingsConflict }
          holder.piezo.axis = axis
        },
        query: { (holder, _) throws(SCPIError) in
          try holder.requirePiezo()
          return .text(["X", "Y", "Z"][holder.piezo.axis])
        }),
      number(":SOURce:PIEZo:COARse:AMPLitude", in: 0...150, default: 30, \.piezo.amplitude, .piezo),
      number(":SOURce:PIEZo:COARse:FREQuency", in: 1...20_000, default: 100, \.piezo.frequency, .piezo),
      SCPICommand(
        ":SOURce:PIEZo:COARse:WAVeform",
        set: { (holder, call) throws(SCPIError) in
          try holder.requirePiezo()
          let waveform: PiezoDrive.Waveform = try call.keyword([
            ("SAWtooth", .sawtooth), ("SAW", .sawtooth), ("CYCLoid", .cycloid), ("USER", .user),
          ])
          guard !holder.piezo.isStepping else { throw .settingsConflict }
          holder.piezo.waveform = waveform
        },
        query: { holder, _ in
          switch holder.piezo.waveform {
          case .sawtooth: .text("SAW")
          case .cycloid: .text("CYCL")
          case .user: .text("USER")
          }
        }),
      SCPICommand(
        ":SOURce:PIEZo:COARse:WAVeform:DATA",
        set: { (holder, call) throws(SCPIError) in
          try holder.requirePiezo()
          let most = holder.piezo.table.count
          try call.expect(2...most + 1)
          let first = try call.integer(in: 0...most - 1)
          guard first + call.arguments.count - 1 <= most else { throw .outOfRange }
          var points: [UInt8] = []
          for index in 1..<call.arguments.count { points.append(UInt8(try call.integer(index, in: 0...255))) }
          guard !holder.piezo.isStepping else { throw .settingsConflict }
          holder.piezo.table.replaceSubrange(first..<first + points.count, with: points)
        },
        query: { (holder, _) throws(SCPIError) in
          try holder.requirePiezo()
          return .bytes(SCPIText.block(holder.piezo.table))
        }),
      SCPICommand(
        ":SOURce:PIEZo:COARse:STEP",
        set: { (holder, call) throws(SCPIError) in
          try holder.requirePiezo()
          let steps = try call.integer(in: -30_000...30_000, default: 0)
          try holder.requireArmed()
          holder.piezo.begin(steps: steps, at: call.time)
          holder.record(.coarse(steps), at: call.time)
          holder.showMotion(at: call.time)
        },
        query: { (holder, _) throws(SCPIError) in
          try holder.requirePiezo()
          return .integer(holder.piezo.remaining)
        }),
      SCPICommand(
        ":SOURce:PIEZo:COARse:STOP",
        set: { (holder, call) throws(SCPIError) in
          try holder.requirePiezo()
          holder.piezo.stopCoarse()
          holder.showMotion(at: call.time)
        }),
      SCPICommand(
        ":SOURce:PIEZo:COARse:COUNt",
        query: { (holder, _) throws(SCPIError) in
          try holder.requirePiezo()
          return .integer(holder.piezo.counts[holder.piezo.axis])
        }),
      SCPICommand(":SOURce:PIEZo:COARse:COUNt:ZERO", set: { holder, _ in holder.piezo.zeroCounts() }),
      SCPICommand(
        ":SOURce:PIEZo:FINE:VOLTage",
        set: { (holder, call) throws(SCPIError) in
          try holder.requirePiezo()
          try call.expect(3...3)
          var voltages: [Double] = []
          for index in 0..<PiezoDrive.axes {
            voltages.append(try call.number(index, in: holder.piezo.lowLimit...holder.piezo.highLimit, default: 0))
          }
          try holder.requireArmed()
          holder.piezo.go(to: voltages, at: call.time)
          holder.cycledTo = call.time
        },
        query: { (holder, call) throws(SCPIError) in
          try holder.requirePiezo()
          return .text(holder.piezo.fine(at: call.time).map { SCPIText.scientific($0) }.joined(separator: ","))
        }),
      SCPICommand(
        ":SOURce:PIEZo:FINE:SLEW",
        set: { (holder, call) throws(SCPIError) in
          try holder.requirePiezo()
          holder.piezo.setSlew(try call.number(in: 0.001...10_000, default: 100), at: call.time)
        }, query: { holder, _ in .number(holder.piezo.slew) }),
      SCPICommand(
        ":SOURce:PIEZo:FINE:STOP",
        set: { (holder, call) throws(SCPIError) in
          try holder.requirePiezo()
          holder.piezo.holdFine(at: call.time)
        }),
      number(":SOURce:PIEZo:FINE:LIMit:LOW", in: -150...0, default: -150, \.piezo.lowLimit, .piezo),
      number(":SOURce:PIEZo:FINE:LIMit:HIGH", in: 0...150, default: 150, \.piezo.highLimit, .piezo),
    ] + contactCommands
  }

  private static var contactCommands: [SCPICommand<OpenBiasingHolder>] {
    [
      SCPICommand(
        ":SENSe:CONTact[:STATe]",
        set: { (holder, call) throws(SCPIError) in
          try holder.requirePiezo()
          let isOn = try call.flag()
          if isOn { try holder.requireArmed() }
          holder.detector.isOn = isOn
          if isOn { holder.detector.restart() }
          holder.showMotion(at: call.time)
        }, query: { holder, _ in .flag(holder.detector.isOn) }),
      number(":SENSe:CONTact:BIAS", in: -1...1, default: 0.05, \.detector.bias, .piezo),
      number(":SENSe:CONTact:THReshold", in: 1e-13...1e-6, default: 5e-11, \.detector.threshold, .piezo),
      number(":SENSe:CONTact:DWELl", in: 1e-3...1, default: 1e-3, \.detector.dwell, .piezo),
      SCPICommand(
        ":SENSe:CONTact:COUNt",
        set: { (holder, call) throws(SCPIError) in holder.detector.count = try call.integer(in: 1...1000, default: 3) },
        query: { holder, _ in .integer(holder.detector.count) }),
      SCPICommand(
        ":SENSe:CONTact:ACTion",
        set: { (holder, call) throws(SCPIError) in
          holder.detector.action = try call.keyword([("STOP", .stop), ("RETRact", .retract), ("NONE", .none)])
        },
        query: { holder, _ in
          switch holder.detector.action {
          case .stop: .text("STOP")
          case .retract: .text("RETR")
          case .none: .text("NONE")
          }
        }),
      SCPICommand(
        ":SENSe:CONTact:RETRact",
        set: { (holder, call) throws(SCPIError) in
          try call.expect(1...2)
          let isSteps = call.arguments.count == 2 ? try call.keyword(1, [("VOLT", false), ("STEP", true)]) : false
          holder.detector.retraction =
            isSteps
            ? .steps(try call.integer(in: 1...30_000)) : .volts(try call.number(in: 0...300, default: 5))
        },
        query: { holder, _ in
          switch holder.detector.retraction {
          case .steps(let count): .text("\(count),STEP")
          case .volts(let volts): .text("\(SCPIText.scientific(volts)),VOLT")
          }
        }),
      SCPICommand(
        // Spelt out: “STAT” is the short form of STATe.
        ":SENSe:CONTact:STATUS",
        query: { (holder, _) throws(SCPIError) in
          try holder.requirePiezo()
          guard let contact = holder.detector.contact else {
            return .text("0,0,0.000000E+00,\(holder.piezo.counts[holder.piezo.axis])")
          }
          return .text("1,\(contact.time_us),\(SCPIText.scientific(contact.current_A)),\(contact.steps)")
        }),
    ]
  }
}
