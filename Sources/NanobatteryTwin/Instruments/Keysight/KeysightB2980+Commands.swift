import Quantities

extension KeysightB2980 {
  static var electrometerCommands: [SCPICommand<KeysightB2980>] {
    sourceCommands + [
      SCPICommand(
        ":INPut[:STATe]",
        set: { (meter, call) throws(SCPIError) in
          meter.isInputOn = try call.flag()
          meter.present(at: call.time)
        }, query: { meter, _ in .flag(meter.isInputOn) }),
      SCPICommand(
        ":INPut:ZCORrect[:STATe]",
        set: { (meter, call) throws(SCPIError) in meter.correctZero(try call.flag(), at: call.time) },
        query: { meter, _ in .flag(meter.correctsZero) }),
      // A public program for the B2981A sends it; not in the fact sheet.
      SCPICommand(":INPut:ZCORrect:ACQuire", set: { meter, call in meter.acquireZero(at: call.time) }),
      SCPICommand(
        ":SYSTem:BATTery",
        query: { (meter, _) throws(SCPIError) in
          guard meter.settings.model == "B2987A" else { throw .undefinedHeader }
          return .integer(meter.settings.battery)
        }),
      SCPICommand(
        "[:SENSe]:FUNCtion[:ON]",
        set: { (meter, call) throws(SCPIError) in
          let name = try call.quoted()
          meter.setFunction(try KeysightFunction.named(name), at: call.time)
        }, query: { meter, _ in .text("\"\(meter.function.rawValue)\"") }),
      SCPICommand(
        "[:SENSe]:CURRent[:DC]:RANGe[:UPPer]",
        set: { (meter, call) throws(SCPIError) in
          let value = try call.number(in: 0...21e-3)
          guard let range = currentRanges.first(where: { value <= $0 * 1.0000001 }) else { throw .outOfRange }
          meter.setCurrentRange(range, at: call.time)
        }, query: { meter, _ in .text(KeysightFormat.text(meter.currentRange)) }),
      SCPICommand(
        "[:SENSe]:CURRent[:DC]:RANGe:AUTO",
        set: { (meter, call) throws(SCPIError) in meter.isAutoRange = try call.flag() },
        query: { meter, _ in .flag(meter.isAutoRange) }),
      SCPICommand(
        "[:SENSe]:VOLTage[:DC]:RANGe[:UPPer]",
        set: { (meter, call) throws(SCPIError) in
          meter.voltageRange = try call.number(in: 0...21) <= 2.1 ? 2 : 20
        }, query: { meter, _ in .text(KeysightFormat.text(meter.voltageRange)) }),
      SCPICommand(
        "[:SENSe]:VOLTage[:DC]:RANGe:AUTO", set: { (_, call) throws(SCPIError) in _ = try call.flag() },
        query: { _, _ in .flag(false) }),
    ]
      + KeysightFunction.allCases.map { function in
        SCPICommand(
          "[:SENSe]:\(function.keyword)[:DC]:APERture",
          set: { (meter, call) throws(SCPIError) in meter.apertureTime = try call.number(in: 10e-6...2, default: 1e-4)
          },
          query: { meter, _ in .text(KeysightFormat.text(meter.apertureTime)) })
      }
  }

  private static var sourceCommands: [SCPICommand<KeysightB2980>] {
    [
      SCPICommand(
        ":OUTPut[:STATe]", set: { (meter, call) throws(SCPIError) in meter.setOutput(try call.flag(), at: call.time) },
        query: { meter, _ in .flag(meter.isOutputOn) }),
      SCPICommand(
        ":OUTPut:OFF:MODE",
        set: { (meter, call) throws(SCPIError) in
          let mode = try call.keyword(KeysightOffMode.keywords)
          // "This status is available only when the 20 V range is used."
          guard mode != .highImpedance || meter.sourceRange <= 20 else { throw .settingsConflict }
          meter.offMode = mode
          meter.present(at: call.time)
        }, query: { meter, _ in .text(meter.offMode.rawValue) }),
      SCPICommand(
        ":OUTPut:LOW",
        set: { (meter, call) throws(SCPIError) in
          guard !meter.isOutputOn else { throw .settingsConflict }
          meter.isLowCommon = try call.keyword([("COMMon", true), ("FLOat", false)])
          meter.present(at: call.time)
        }, query: { meter, _ in .text(meter.isLowCommon ? "COMM" : "FLO") }),
      SCPICommand(
        ":SOURce:VOLTage[:LEVel][:IMMediate][:AMPLitude]",
        set: { (meter, call) throws(SCPIError) in
          let level = try call.number(in: -1000...1000, default: 0)
          guard abs(level) <= meter.sourceRange * 1.0001 else { throw .outOfRange }
          if meter.isInterlockOpen, abs(level) > 21 { throw SCPIError(-221, "Settings conflict; interlock open") }
          meter.level = level
          meter.present(at: call.time)
        }, query: { meter, _ in .text(KeysightFormat.text(meter.level)) }),
      SCPICommand(
        ":SOURce:VOLTage:RANGe",
        set: { (meter, call) throws(SCPIError) in
          let range = try call.number(in: -1000...1000)
          let wanted = abs(range) <= 20 ? 20.0 : 1000
          guard abs(meter.level) <= wanted else { throw .settingsConflict }
          meter.sourceRange = wanted
          if wanted > 20, meter.offMode == .highImpedance { meter.offMode = .normal }
          meter.present(at: call.time)
        }, query: { meter, _ in .text(KeysightFormat.text(meter.sourceRange)) }),
    ]
  }
}
