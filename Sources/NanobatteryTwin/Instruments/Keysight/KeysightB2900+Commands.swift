import Quantities

extension KeysightB2900 {
  /// Commands of one channel: `suffix` is "", "1" or "2".
  static func sourceMeasureCommands(_ suffix: String, _ number: Int) -> [SCPICommand<KeysightB2900>] {
    let output = ":OUTPut\(suffix)"
    let source = ":SOURce\(suffix)"
    let sense = ":SENSe\(suffix)"
    return [
      SCPICommand(
        "\(output)[:STATe]",
        set: { (smu, call) throws(SCPIError) in
          smu.setOutput(try call.flag(), try smu.channel(number), at: call.time)
        }, query: { (smu, _) throws(SCPIError) in .flag(smu.channels[try smu.channel(number) - 1].isOn) }),
      SCPICommand(
        "\(output):OFF:MODE",
        set: { (smu, call) throws(SCPIError) in
          let index = try smu.channel(number) - 1
          smu.channels[index].offMode = try call.keyword(KeysightOffMode.keywords)
          smu.present(number, at: call.time)
        }, query: { (smu, _) throws(SCPIError) in .text(smu.channels[try smu.channel(number) - 1].offMode.rawValue) }),
      flag("\(output):ON:AUTO", number, \.turnsOnByItself), flag("\(output):OFF:AUTO", number, \.turnsOffByItself),
      flag("\(output):PROTection[:STATe]", number, \.protects),
      flag("\(output):HCAPacitance[:STATe]", number, \.isHighCapacitance),
      flag("\(sense):REMote", number, \.isFourWire),
      SCPICommand("\(sense):WAIT[:STATe]", set: { (_, call) throws(SCPIError) in _ = try call.flag() }),
      SCPICommand(
        "\(source):FUNCtion:MODE",
        set: { (smu, call) throws(SCPIError) in
          let index = try smu.channel(number) - 1
          smu.channels[index].function = try call.keyword([("VOLTage", Function.voltage), ("CURRent", .current)])
          smu.present(number, at: call.time)
        }, query: { (smu, _) throws(SCPIError) in .text(smu.channels[try smu.channel(number) - 1].function.rawValue) }),
      SCPICommand(
        "\(source):FUNCtion[:SHAPe]", set: { (_, call) throws(SCPIError) in try call.keyword([("DC", ())]) },
        query: { _, _ in .text("DC") }),
      SCPICommand(
        "\(sense):FUNCtion:OFF:ALL",
        set: { (smu, _) throws(SCPIError) in
          let index = try smu.channel(number) - 1
          for function in Function.allCases { smu.channels[index].quantities[function]?.isSensed = false }
        }),
      SCPICommand(
        "\(sense):FUNCtion[:ON]",
        set: { (smu, call) throws(SCPIError) in
          let index = try smu.channel(number) - 1
          for argument in call.arguments.indices {
            smu.channels[index].quantities[try .named(call.quoted(argument))]?.isSensed = true
          }
        },
        query: { (smu, _) throws(SCPIError) in
          let quantities = smu.channels[try smu.channel(number) - 1].quantities
          let names = Function.allCases.filter { quantities[$0]?.isSensed == true }.map { "\"\($0.rawValue)\"" }
          return .text(names.isEmpty ? "\"\"" : names.joined(separator: ","))
        }),
    ] + Function.allCases.flatMap { quantityCommands(source, sense, $0, number) }
  }

  private static func flag(_ header: String, _ number: Int, _ path: WritableKeyPath<Channel, Bool>)
    -> SCPICommand<KeysightB2900>
  {
    SCPICommand(
      header,
      set: { (smu, call) throws(SCPIError) in smu.channels[try smu.channel(number) - 1][keyPath: path] = try call.flag()
      },
      query: { (smu, _) throws(SCPIError) in .flag(smu.channels[try smu.channel(number) - 1][keyPath: path]) })
  }

  /// Changes one quantity of a channel and shows the terminals anew.
  private func change(
    _ number: Int, _ function: Function, at now: MonotonicTime,
    _ body: (inout Quantity) throws(SCPIError) -> Void
  ) throws(SCPIError) {
    let index = try channel(number) - 1
    guard var quantity = channels[index].quantities[function] else { throw .execution }
    try body(&quantity)
    channels[index].quantities[function] = quantity
    present(number, at: now)
  }

  private func quantity(_ number: Int, _ function: Function) throws(SCPIError) -> Quantity {
    guard let quantity = channels[try channel(number) - 1].quantities[function] else { throw .execution }
    return quantity
  }

  private static func quantityCommands(_ source: String, _ sense: String, _ function: Function, _ number: Int)
    -> [SCPICommand<KeysightB2900>]
  {
    let (sourceRoot, senseRoot) = ("\(source):\(function.keyword)", "\(sense):\(function.keyword)[:DC]")
    let most = function == .voltage ? 210.0 : 3.03
    return [
      SCPICommand(
        "\(sourceRoot)[:LEVel][:IMMediate][:AMPLitude]",
        set: { (smu, call) throws(SCPIError) in
          let level = try call.number(in: -most...most, default: 0)
          try smu.change(number, function, at: call.time) { (quantity) throws(SCPIError) in
            guard quantity.sourcesAutomatically || abs(level) <= quantity.sourceRange * 1.05 else { throw .outOfRange }
            quantity.level = level
          }
        }, query: { (smu, _) throws(SCPIError) in .text(KeysightFormat.text(try smu.quantity(number, function).level)) }
      ),
      SCPICommand(
        "\(sourceRoot):MODE", set: { (_, call) throws(SCPIError) in try call.keyword([("FIXed", ())]) },
        query: { _, _ in .text("FIX") }),
      SCPICommand(
        "\(sourceRoot):RANGe",
        set: { (smu, call) throws(SCPIError) in
          let value = try call.number(in: 0...most)
          try smu.change(number, function, at: call.time) { (quantity) throws(SCPIError) in
            guard let range = smu.ranges(function).first(where: { value <= $0 * 1.0000001 }) else { throw .outOfRange }
            guard abs(quantity.level) <= range * 1.05 else { throw .settingsConflict }
            quantity.sourceRange = range
            quantity.sourcesAutomatically = false
          }
          smu.noteRangeChange(at: call.time)
        },
        query: { (smu, _) throws(SCPIError) in
          .text(KeysightFormat.text(smu.sourceRange(smu.channels[try smu.channel(number) - 1], function)))
        }),
      SCPICommand(
        "\(sourceRoot):RANGe:AUTO",
        set: { (smu, call) throws(SCPIError) in
          let isOn = try call.flag()
          try smu.change(number, function, at: call.time) { $0.sourcesAutomatically = isOn }
        }, query: { (smu, _) throws(SCPIError) in .flag(try smu.quantity(number, function).sourcesAutomatically) }),
      SCPICommand(
        "\(senseRoot):RANGe[:UPPer]",
        set: { (smu, call) throws(SCPIError) in
          let value = try call.number(in: 0...most)
          try smu.change(number, function, at: call.time) { (quantity) throws(SCPIError) in
            guard let range = smu.ranges(function).first(where: { value <= $0 * 1.0000001 }) else { throw .outOfRange }
            quantity.senseRange = range
          }
          smu.noteRangeChange(at: call.time)
        },
        query: { (smu, _) throws(SCPIError) in .text(KeysightFormat.text(try smu.quantity(number, function).senseRange))
        }),
      SCPICommand(
        "\(senseRoot):RANGe:AUTO",
        set: { (smu, call) throws(SCPIError) in
          let isOn = try call.flag()
          try smu.change(number, function, at: call.time) { $0.sensesAutomatically = isOn }
        }, query: { (smu, _) throws(SCPIError) in .flag(try smu.quantity(number, function).sensesAutomatically) }),
      SCPICommand(
        "\(senseRoot):PROTection[:LEVel]",
        set: { (smu, call) throws(SCPIError) in
          // The least is 1 % of the lowest range (user's guide, from memory).
          let value = abs(try call.number(in: -most...most))
          guard value >= smu.ranges(function)[0] * 0.0099 else { throw .outOfRange }
          try smu.change(number, function, at: call.time) { $0.compliance = value }
        },
        query: { (smu, _) throws(SCPIError) in .text(KeysightFormat.text(try smu.quantity(number, function).compliance))
        }),
      SCPICommand(
        "\(senseRoot):PROTection:TRIPped",
        query: { (smu, call) throws(SCPIError) in
          let channel = smu.channels[try smu.channel(number) - 1]
          let share = smu.cell.means(from: call.time - Seconds(1e-3), to: call.time).complianceShare
          return .flag(channel.isOn && channel.function != function && share > 0.5)
        }),
      SCPICommand(
        "\(senseRoot):APERture",
        // One setting for all functions of a channel (SCPI reference).
        set: { (smu, call) throws(SCPIError) in
          smu.channels[try smu.channel(number) - 1].aperture = try call.number(in: 8e-6...2, default: 1e-4)
        },
        query: { (smu, _) throws(SCPIError) in
          .text(KeysightFormat.text(smu.channels[try smu.channel(number) - 1].aperture))
        }),
      SCPICommand(
        "\(senseRoot):NPLCycles",
        set: { (smu, call) throws(SCPIError) in
          let cycles = try call.number(in: 4e-4...100, default: 1)
          smu.channels[try smu.channel(number) - 1].aperture = cycles / smu.lineFrequency
        },
        query: { (smu, _) throws(SCPIError) in
          .text(KeysightFormat.text(smu.channels[try smu.channel(number) - 1].aperture * smu.lineFrequency))
        }),
    ]
  }
}
