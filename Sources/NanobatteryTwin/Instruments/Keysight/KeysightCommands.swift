import Quantities

extension KeysightDevice {
  /// The whole error queue in one line, and empties it.
  private func takeErrors(at now: MonotonicTime) -> String {
    var entries: [String] = []
    while !status.errors.isEmpty { entries.append(describe(status.nextError(), at: now)) }
    return entries.isEmpty ? describe(SCPIError.none, at: now) : entries.joined(separator: ",")
  }

  /// What has no channel suffix.
  static var systemCommands: [SCPICommand<Self>] {
    let general: [SCPICommand<Self>] = [
      SCPICommand(
        ":SYSTem:ERRor:ALL",
        query: { device, call in .text(device.takeErrors(at: call.time)) }),
      SCPICommand(":SYSTem:LFRequency", query: { device, _ in .integer(Int(device.lineFrequency)) }),
      SCPICommand(":SYSTem:INTerlock:TRIPped", query: { device, _ in .flag(device.isInterlockOpen) }),
      SCPICommand(
        ":SYSTem:DATA:QUANtity",
        query: { (device, call) throws(SCPIError) in
          let channels = try device.channels(call)
          return .text(channels.map { String(device.triggers[$0 - 1].rows.count) }.joined(separator: ","))
        }),
      SCPICommand(
        ":SYSTem:TIME:TIMer:COUNt",
        query: { device, call in .number(Double(device.clock.device(at: call.time) - device.state.timerZero) * 1e-9) }),
      SCPICommand(
        ":SYSTem:TIME:TIMer:COUNt:RESet[:IMMediate]",
        set: { device, call in device.state.timerZero = device.clock.device(at: call.time) }),
      SCPICommand(
        ":SYSTem:TIME:TIMer:COUNt:RESet:AUTO",
        set: { (device, call) throws(SCPIError) in device.state.resetsTimer = try call.flag() },
        query: { device, _ in .flag(device.state.resetsTimer) }),
    ]
    return general + formatCommands + measuringCommands + (1...14).map { digitalLineCommand($0) }
  }

  private static var formatCommands: [SCPICommand<Self>] {
    [
      SCPICommand(
        ":FORMat[:DATA]",
        set: { (device, call) throws(SCPIError) in
          let kind = try call.argument(0).uppercased()
          let bits = call.arguments.count > 1 ? try call.integer(1, in: 32...64) : 32
          switch (kind, bits) {
          case ("ASC", _), ("ASCII", _): device.state.format.data = .text
          case ("REAL", 32), ("REAL32", _): device.state.format.data = .single
          case ("REAL", 64), ("REAL64", _): device.state.format.data = .double
          default: throw .illegalValue
          }
        }, query: { device, _ in .text(device.state.format.data.rawValue) }),
      SCPICommand(
        ":FORMat:BORDer",
        set: { (device, call) throws(SCPIError) in
          device.state.format.isSwapped = try call.keyword([("NORMal", false), ("SWAPped", true)])
        }, query: { device, _ in .text(device.state.format.isSwapped ? "SWAP" : "NORM") }),
      SCPICommand(
        ":FORMat:ELEMents:SENSe",
        set: { (device, call) throws(SCPIError) in
          let choices = KeysightElement.allCases.map { ($0.rawValue, $0) }
          var elements: [KeysightElement] = []
          for index in call.arguments.indices { elements.append(try call.keyword(index, choices)) }
          guard !elements.isEmpty else { throw .missingParameter }
          device.state.format.elements = elements
        }, query: { device, _ in .text(device.state.format.elements.map(\.short).joined(separator: ",")) }),
    ]
  }

  private static var measuringCommands: [SCPICommand<Self>] {
    func initiate(_ word: String) -> SCPICommand<Self> {
      SCPICommand(
        ":INITiate[:IMMediate]\(word)",
        set: { (device, call) throws(SCPIError) in try device.initiate(device.channels(call), at: call.time) })
    }
    func abort(_ word: String) -> SCPICommand<Self> {
      SCPICommand(
        ":ABORt\(word)",
        set: { (device, call) throws(SCPIError) in
          let channels = call.arguments.isEmpty ? Array(1...device.triggers.count) : try device.channels(call)
          for channel in channels { device.triggers[channel - 1].end() }
        })
    }
    return [
      initiate("[:ALL]"), initiate(":ACQuire"), abort("[:ALL]"), abort(":ACQuire"),
      // The transient action: the levels are all fixed here, nothing moves.
      SCPICommand(":ABORt:TRANsient", set: { _, _ in }),
      SCPICommand(
        ":MEASure",
        query: { (device, call) throws(SCPIError) in try device.measureNow(device.channels(call), at: call.time) }),
      SCPICommand(
        ":FETCh:ARRay",
        query: { (device, call) throws(SCPIError) in
          let rows = try device.channels(call).flatMap { device.triggers[$0 - 1].rows }
          return .bytes(device.state.format.bytes(rows, timerZero: device.state.timerZero))
        }),
      SCPICommand(
        ":FETCh[:SCALar]",
        query: { (device, call) throws(SCPIError) in
          let rows = try device.channels(call).compactMap { device.triggers[$0 - 1].rows.last }
          return .bytes(device.state.format.bytes(rows, timerZero: device.state.timerZero))
        }),
    ]
  }

  private static func digitalLineCommand(_ line: Int) -> SCPICommand<Self> {
    SCPICommand(
      ":SOURce:DIGital:EXTernal\(line):FUNCtion",
      set: { (device, call) throws(SCPIError) in
        device.state.digitalLines[line] = try call.keyword([("DIO", "DIO"), ("TINPut", "TINP"), ("TOUTput", "TOUT")])
      }, query: { device, _ in .text(device.state.digitalLines[line] ?? "DIO") })
  }

  /// Commands of one channel: `suffix` is "", "1" or "2".
  static func channelCommands(_ suffix: String, _ number: Int) -> [SCPICommand<Self>] {
    ["[:ALL]", ":ACQuire"].flatMap { triggerCommands(":TRIGger\(suffix)\($0)", number) } + [
      SCPICommand(
        ":SENSe\(suffix):DATA",
        query: { (device, call) throws(SCPIError) in
          let rows = device.triggers[try device.channel(number) - 1].rows
          let first =
            call.arguments.isEmpty || call.arguments[0].uppercased().hasPrefix("STAR")
            ? 0 : try call.integer(0, in: 0...KeysightTrigger.most)
          let size = call.arguments.count > 1 ? try call.integer(1, in: 1...KeysightTrigger.most) : rows.count
          let wanted = Array(rows.dropFirst(first).prefix(size))
          return .bytes(device.state.format.bytes(wanted, timerZero: device.state.timerZero))
        }),
      SCPICommand(
        ":SENSe\(suffix):DATA:CLEar",
        set: { (device, _) throws(SCPIError) in device.triggers[try device.channel(number) - 1].clear() }),
    ]
  }

  private static func triggerCommands(_ root: String, _ number: Int) -> [SCPICommand<Self>] {
    func index(_ device: Self) throws(SCPIError) -> Int { try device.channel(number) - 1 }
    let sources: [(String, KeysightTrigger.Source)] =
      [("AINT", .automatic), ("BUS", .bus), ("TIMer", .timer)] + (1...14).map { ("EXTernal\($0)", .external($0)) }
    return [
      SCPICommand(
        "\(root):SOURce[:SIGNal]",
        set: { (device, call) throws(SCPIError) in device.triggers[try index(device)].source = try call.keyword(sources)
        },
        query: { (device, _) throws(SCPIError) in .text(device.triggers[try index(device)].source.name) }),
      SCPICommand(
        "\(root):TIMer",
        set: { (device, call) throws(SCPIError) in
          device.triggers[try index(device)].interval = try call.number(in: 1e-5...1e5, default: 1e-5)
        }, query: { (device, _) throws(SCPIError) in .number(device.triggers[try index(device)].interval) }),
      SCPICommand(
        "\(root):DELay",
        set: { (device, call) throws(SCPIError) in
          device.triggers[try index(device)].delay = try call.number(in: 0...1e5, default: 0)
        }, query: { (device, _) throws(SCPIError) in .number(device.triggers[try index(device)].delay) }),
      SCPICommand(
        "\(root):COUNt",
        set: { (device, call) throws(SCPIError) in
          let isEndless = try call.argument(0).uppercased().hasPrefix("INF")
          device.triggers[try index(device)].count =
            isEndless ? Int(Int32.max) : try call.integer(in: 1...KeysightTrigger.most, default: 1)
        }, query: { (device, _) throws(SCPIError) in .integer(device.triggers[try index(device)].count) }),
      SCPICommand(
        "\(root):TOUTput[:STATe]",
        set: { (device, call) throws(SCPIError) in device.triggers[try index(device)].pulses = try call.flag() },
        query: { (device, _) throws(SCPIError) in .flag(device.triggers[try index(device)].pulses) }),
      SCPICommand(
        "\(root):TOUTput:SIGNal",
        set: { (device, call) throws(SCPIError) in
          device.triggers[try index(device)].pulseLine = try call.argument(0).uppercased()
        }, query: { (device, _) throws(SCPIError) in .text(device.triggers[try index(device)].pulseLine ?? "EXT1") }),
    ]
  }
}
