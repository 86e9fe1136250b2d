import Quantities

extension OpenBiasingHolder {
  private func requireHeater() throws(SCPIError) {
    guard settings.options.contains(.heater) else { throw Self.hardwareMissing }
  }

  /// Heating needs an armed holder, so that the heater goes off when the host falls silent.
  private func heat(_ mode: ChipHeater.Mode, at now: MonotonicTime) throws(SCPIError) {
    if mode != .off {
      try requireArmed()
      guard heater.chip != nil, !heater.isSenseOpen else { throw .settingsConflict }
    }
    heater.enter(mode)
    record(.heater(mode.rawValue), at: now)
    cycledTo = now
    showMotion(at: now)
  }

  static var heaterCommands: [SCPICommand<OpenBiasingHolder>] {
    [
      SCPICommand(
        ":SOURce:HEATer:MODE",
        set: { (holder, call) throws(SCPIError) in
          try holder.requireHeater()
          let mode: ChipHeater.Mode = try call.keyword([
            ("OFF", .off), ("CURRent", .current), ("POWer", .power), ("TEMPerature", .temperature),
          ])
          try holder.heat(mode, at: call.time)
        },
        query: { (holder, _) throws(SCPIError) in
          try holder.requireHeater()
          return .text(holder.heater.mode.rawValue)
        }),
      SCPICommand(
        ":SOURce:HEATer:CHIP",
        set: { (holder, call) throws(SCPIError) in
          try holder.requireHeater()
          try call.expect(6...6)
          guard holder.heater.mode == .off else { throw .settingsConflict }
          holder.heater.chip = HeaterChipData(
            resistance: try call.number(0, in: 0.1...1e5), temperature: try call.number(1, in: 4...2000),
            alpha: try call.number(2, in: 1e-6...0.1), beta: try call.number(3, in: -1e-4...1e-4),
            maximumCurrent: try call.number(4, in: 1e-6...0.1), maximumTemperature: try call.number(5, in: 4...2500))
        },
        query: { (holder, _) throws(SCPIError) in
          try holder.requireHeater()
          guard let chip = holder.heater.chip else { return .text("NONE") }
          let numbers = [
            chip.resistance, chip.temperature, chip.alpha, chip.beta, chip.maximumCurrent, chip.maximumTemperature,
          ]
          return .text(numbers.map { SCPIText.scientific($0) }.joined(separator: ","))
        }),
      SCPICommand(
        ":SOURce:HEATer:CURRent",
        set: { (holder, call) throws(SCPIError) in
          try holder.requireHeater()
          holder.heater.setCurrent(
            try call.number(in: 0...(holder.heater.chip?.maximumCurrent ?? 0), default: 0))
        }, query: { holder, _ in .number(holder.heater.currentSetPoint) }),
      SCPICommand(
        ":SOURce:HEATer:POWer",
        set: { (holder, call) throws(SCPIError) in
          try holder.requireHeater()
          holder.heater.setPower(try call.number(in: 0...1, default: 0))
        }, query: { holder, _ in .number(holder.heater.powerSetPoint) }),
      SCPICommand(
        ":SOURce:HEATer:TEMPerature",
        set: { (holder, call) throws(SCPIError) in
          try holder.requireHeater()
          let most = holder.heater.chip?.maximumTemperature ?? ChipHeater.ambient
          holder.heater.setTemperature(try call.number(in: 0...most, default: ChipHeater.ambient))
        }, query: { holder, _ in .number(holder.heater.temperatureSetPoint) }),
      number(":SOURce:HEATer:RAMP", in: 0.01...1e5, default: 100, \.heater.ramp, .heater),
      SCPICommand(
        ":SENSe:HEATer",
        query: { (holder, _) throws(SCPIError) in
          try holder.requireHeater()
          guard let reading = holder.heater.reading else {
            return .text(Array(repeating: notANumber, count: 4).joined(separator: ","))
          }
          let numbers = [reading.resistance, reading.temperature, reading.current, reading.voltage]
          return .text(numbers.map { SCPIText.scientific($0) }.joined(separator: ","))
        }),
    ]
  }
}
