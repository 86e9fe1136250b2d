import Quantities

extension Keithley2450 {
  /// Changes a setting of source or measurement; refused with −221 while the trigger model runs.
  ///
  /// Assumption: the manual says that commands which conflict with a running trigger model are refused, not which they
  /// are. Here all settings of source and measurement are; output, buffer and trigger commands are not.
  func configure(at now: MonotonicTime, _ change: () -> Void) throws(SCPIError) {
    guard !isRunning else { throw .settingsConflict }
    change()
    present(at: now)
  }

  static var systemCommands: [SCPICommand<Keithley2450>] {
    [
      SCPICommand("*LANG", query: { _, _ in .text("SCPI") }),
      SCPICommand(
        ":SYSTem:EVENtlog:NEXT",
        query: { (smu, call) throws(SCPIError) in
          _ = try call.keyword([("WARNing", ()), ("ALL", ())])
          guard !smu.warnings.isEmpty else { return .text(smu.describe(.none, at: call.time)) }
          return .text(smu.entry(smu.warnings.removeFirst(), kind: 2, at: call.time))
        }),
      SCPICommand(":SYSTem:LFRequency", query: { smu, _ in .integer(Int(smu.settings.lineFrequency)) }),
      SCPICommand(
        ":ROUTe:TERMinals",
        set: { (smu, call) throws(SCPIError) in
          let terminals = try call.keyword([("FRONt", KeithleyTerminals.front), ("REAR", .rear)])
          guard !smu.isRunning else { throw .settingsConflict }
          // Changing terminals switches the output off.
          if terminals != smu.terminals { smu.setOutput(false, at: call.time) }
          try smu.configure(at: call.time) { smu.terminals = terminals }
        }, query: { smu, _ in .text(smu.terminals.rawValue) }),
      SCPICommand(
        ":FORMat[:DATA]",
        set: { (_, call) throws(SCPIError) in
          // Numbers go as text here; the binary forms are not there.
          try call.keyword([("ASCii", ())])
        }, query: { _, _ in .text("ASC") }),
      SCPICommand(
        ":FORMat:ASCii:PRECision",
        set: { (smu, call) throws(SCPIError) in smu.precision = try call.integer(in: 0...16, default: 0) },
        query: { smu, _ in .integer(smu.precision) }),
    ]
  }

  static var outputCommands: [SCPICommand<Keithley2450>] {
    [
      SCPICommand(
        ":OUTPut[:STATe]",
        set: { (smu, call) throws(SCPIError) in
          try call.expect(1...1)
          smu.setOutput(try call.flag(), at: call.time)
        }, query: { smu, _ in .flag(smu.isOutputOn) }),
      SCPICommand(":OUTPut:INTerlock:TRIPped", query: { smu, _ in .flag(smu.settings.isInterlockClosed) }),
      SCPICommand(
        ":SOURce:FUNCtion[:MODE]",
        set: { (smu, call) throws(SCPIError) in
          let function = try call.keyword([("VOLTage", KeithleyFunction.voltage), ("CURRent", .current)])
          guard !smu.isRunning else { throw .settingsConflict }
          guard function != smu.sourceFunction else { return }
          smu.setOutput(false, at: call.time)
          try smu.configure(at: call.time) { smu.sourceFunction = function }
        }, query: { smu, _ in .text(smu.sourceFunction.short) }),
    ]
  }

  static func sourceCommands(_ function: KeithleyFunction) -> [SCPICommand<Keithley2450>] {
    let root = ":SOURce:\(function.keyword)"
    let limitName = function == .voltage ? "ILIMit" : "VLIMit"
    let other: KeithleyFunction = function == .voltage ? .current : .voltage
    return [
      SCPICommand(
        "\(root)[:LEVel][:IMMediate][:AMPLitude]",
        set: { (smu, call) throws(SCPIError) in
          let level = try call.number(in: -smu.scale(function).maximum...smu.scale(function).maximum, default: 0)
          guard let source = smu.sources[function] else { return }
          guard source.isAutoRange || abs(level) <= source.range * 1.05 else { throw .outOfRange }
          try smu.configure(at: call.time) { smu.sources[function]?.level = level }
        }, query: { smu, _ in .number(smu.sources[function]?.level ?? 0) }),
      SCPICommand(
        "\(root):RANGe",
        set: { (smu, call) throws(SCPIError) in
          let most = smu.scale(function).largest
          let value = try call.number(in: -most...most, default: most)
          guard let range = smu.scale(function).range(for: value), let source = smu.sources[function] else { throw .outOfRange }
          guard abs(source.level) <= range * 1.05 else { throw .settingsConflict }
          try smu.configure(at: call.time) {
            if smu.sourceRange(function) != range { smu.noteRangeChange(function, range, at: call.time) }
            smu.sources[function]?.range = range
            smu.sources[function]?.isAutoRange = false
          }
        }, query: { smu, _ in .number(smu.sourceRange(function)) }),
      SCPICommand(
        "\(root):RANGe:AUTO",
        set: { (smu, call) throws(SCPIError) in
          let isAuto = try call.flag()
          try smu.configure(at: call.time) {
            let range = smu.sourceRange(function)
            smu.sources[function]?.range = range
            smu.sources[function]?.isAutoRange = isAuto
          }
        }, query: { smu, _ in .flag(smu.sources[function]?.isAutoRange ?? false) }),
      SCPICommand(
        "\(root):\(limitName)[:LEVel]",
        set: { (smu, call) throws(SCPIError) in
          let model = smu.settings.model
          let limit = try call.number(in: function == .voltage ? model.currentLimits : model.voltageLimits)
          try smu.configure(at: call.time) { smu.sources[function]?.limit = limit }
        }, query: { smu, _ in .number(smu.sources[function]?.limit ?? 0) }),
      SCPICommand(
        "\(root):\(limitName)[:LEVel]:TRIPped",
        query: { smu, call in .flag(smu.sourceFunction == function && smu.isLimited(at: call.time)) }),
      SCPICommand(
        "\(root):READ:BACK",
        set: { (smu, call) throws(SCPIError) in
          let readsBack = try call.flag()
          try smu.configure(at: call.time) { smu.sources[function]?.readsBack = readsBack }
        }, query: { smu, _ in .flag(smu.sources[function]?.readsBack ?? false) }),
      SCPICommand(
        "\(root):DELay",
        set: { (smu, call) throws(SCPIError) in
          let delay = try call.number(in: 0...10_000, default: 0)
          try smu.configure(at: call.time) {
            smu.sources[function]?.delay = delay
            smu.sources[function]?.isAutoDelay = false
          }
        }, query: { smu, _ in .number(smu.sources[function]?.delay ?? 0) }),
      SCPICommand(
        "\(root):DELay:AUTO",
        set: { (smu, call) throws(SCPIError) in
          let isAuto = try call.flag()
          try smu.configure(at: call.time) { smu.sources[function]?.isAutoDelay = isAuto }
        }, query: { smu, _ in .flag(smu.sources[function]?.isAutoDelay ?? false) }),
      SCPICommand(
        ":OUTPut:\(function.keyword):SMODe",
        set: { (smu, call) throws(SCPIError) in
          let state = try call.keyword([
            ("NORMal", OutputOffState.normal), ("ZERO", .zero), ("GUARd", .guarded), ("HIMPedance", .highImpedance),
          ])
          try smu.configure(at: call.time) { smu.sources[function]?.offState = state }
        }, query: { smu, _ in .text(smu.sources[function]?.offState.rawValue ?? "") }),
      SCPICommand(
        ":MEASure:\(other.keyword)",
        query: { (smu, call) throws(SCPIError) in
          guard !smu.isRunning else { throw .settingsConflict }
          smu.senseFunction = other
          return try smu.readNow(call)
        }),
    ]
  }
}
