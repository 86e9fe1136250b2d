import Quantities

extension Keithley2450 {
  static func senseCommands(_ function: KeithleyFunction) -> [SCPICommand<Keithley2450>] {
    let root = ":SENSe:\(function.keyword)"
    return [
      SCPICommand(
        "\(root):RANGe[:UPPer]",
        set: { (smu, call) throws(SCPIError) in
          let most = smu.scale(function).largest
          let value = try call.number(in: -most...most, default: most)
          guard let range = smu.scale(function).range(for: value) else { throw .outOfRange }
          try smu.configure(at: call.time) {
            if smu.senseRange(function) != range { smu.noteRangeChange(function, range, at: call.time) }
            smu.senses[function]?.range = range
            smu.senses[function]?.isAutoRange = false
          }
        }, query: { smu, _ in .number(smu.senseRange(function)) }),
      SCPICommand(
        "\(root):RANGe:AUTO",
        set: { (smu, call) throws(SCPIError) in
          let isAuto = try call.flag()
          try smu.configure(at: call.time) { smu.senses[function]?.isAutoRange = isAuto }
        }, query: { smu, _ in .flag(smu.senses[function]?.isAutoRange ?? false) }),
      SCPICommand(
        "\(root):RANGe:AUTO:LLIMit",
        set: { (smu, call) throws(SCPIError) in
          let value = try call.number(in: smu.scale(function).ranges[0]...smu.scale(function).maximum)
          try smu.configure(at: call.time) {
            smu.senses[function]?.lowestAutoRange = smu.scale(function).rangeWithMargin(for: value)
          }
        }, query: { smu, _ in .number(smu.senses[function]?.lowestAutoRange ?? 0) }),
      SCPICommand(
        "\(root):NPLCycles",
        set: { (smu, call) throws(SCPIError) in
          let cycles = try call.number(in: 0.01...10, default: 1)
          try smu.configure(at: call.time) { smu.senses[function]?.cycles = cycles }
        }, query: { smu, _ in .number(smu.senses[function]?.cycles ?? 0) }),
      SCPICommand(
        "\(root):AZERo[:STATe]",
        set: { (smu, call) throws(SCPIError) in
          let isOn = try call.flag()
          try smu.configure(at: call.time) {
            smu.senses[function]?.isAutozero = isOn
            smu.zeroedAt = call.time
          }
        }, query: { smu, _ in .flag(smu.senses[function]?.isAutozero ?? false) }),
      SCPICommand(
        "\(root):RSENse",
        set: { (smu, call) throws(SCPIError) in
          let isFourWire = try call.flag()
          try smu.configure(at: call.time) { smu.senses[function]?.isFourWire = isFourWire }
        }, query: { smu, _ in .flag(smu.senses[function]?.isFourWire ?? false) }),
      SCPICommand(
        "\(root):AVERage[:STATe]",
        set: { (smu, call) throws(SCPIError) in
          let isOn = try call.flag()
          try smu.configure(at: call.time) { smu.senses[function]?.averages = isOn }
        }, query: { smu, _ in .flag(smu.senses[function]?.averages ?? false) }),
      SCPICommand(
        "\(root):AVERage:COUNt",
        set: { (smu, call) throws(SCPIError) in
          let count = try call.integer(in: 1...100, default: 10)
          try smu.configure(at: call.time) { smu.senses[function]?.averageCount = count }
        }, query: { smu, _ in .integer(smu.senses[function]?.averageCount ?? 0) }),
    ]
  }

  static var measurementCommands: [SCPICommand<Keithley2450>] {
    [
      SCPICommand(
        ":SENSe:FUNCtion[:ON]",
        set: { (smu, call) throws(SCPIError) in
          try call.expect(1...1)
          let name = try call.quoted()
          let choices: [(String, KeithleyFunction)] = [
            ("VOLTage", .voltage), ("VOLTage:DC", .voltage), ("CURRent", .current), ("CURRent:DC", .current),
          ]
          guard let choice = choices.first(where: { SCPIPattern.isForm(name, of: $0.0) }) else { throw .illegalValue }
          try smu.configure(at: call.time) { smu.senseFunction = choice.1 }
        }, query: { smu, _ in .text("\"\(smu.senseFunction.short):DC\"") }),
      SCPICommand(
        ":SENSe:AZERo:ONCE",
        set: { (smu, call) throws(SCPIError) in try smu.configure(at: call.time) { smu.zeroedAt = call.time } }),
      SCPICommand(":READ", query: { (smu, call) throws(SCPIError) in try smu.readNow(call) }),
      SCPICommand(
        ":FETCh",
        query: { (smu, call) throws(SCPIError) in
          let (name, elements) = try smu.bufferAndElements(call.arguments[...], call)
          guard let buffer = smu.buffers[name], let row = buffer.newest else { throw .execution }
          return .text(smu.text(row, elements, buffer))
        }),
    ]
  }

  /// One reading, begun now: the answer comes when its aperture is over.
  func readNow(_ call: SCPICall) throws(SCPIError) -> SCPIReply<Keithley2450> {
    guard !isRunning else { throw .settingsConflict }
    let (name, elements) = try bufferAndElements(call.arguments[...], call)
    let begin = call.time + Seconds(source.isAutoDelay ? 0 : source.delay)
    let end = begin + measuringTime(senseFunction)
    return .later(
      end,
      { (smu, _) throws(SCPIError) in
        let row = smu.reading(from: begin, to: end)
        smu.buffers[name]?.append(row)
        guard let buffer = smu.buffers[name] else { throw .execution }
        return Array(smu.text(row, elements, buffer).utf8)
      })
  }
}
