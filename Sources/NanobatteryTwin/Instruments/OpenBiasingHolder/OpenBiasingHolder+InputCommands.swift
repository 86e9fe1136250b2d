import Quantities

/// Beam blanking, force and auxiliary inputs, guard and triggers: most of it added to the sheet (docs/obh-1.md).
extension OpenBiasingHolder {
  /// SCPI's way to say that there is no number (SCPI-1999 vol. 1 §7.2.1.5).
  static let notANumber = "9.910000E+37"

  /// A setting that is one number within a range.
  static func number(
    _ header: String, in range: ClosedRange<Double>, default value: Double,
    _ path: ReferenceWritableKeyPath<OpenBiasingHolder, Double>, _ option: Option
  ) -> SCPICommand<OpenBiasingHolder> {
    SCPICommand(
      header,
      set: { (holder, call) throws(SCPIError) in
        guard holder.settings.options.contains(option) else { throw hardwareMissing }
        holder[keyPath: path] = try call.number(in: range, default: value)
      },
      query: { (holder, _) throws(SCPIError) in
        guard holder.settings.options.contains(option) else { throw hardwareMissing }
        return .number(holder[keyPath: path])
      })
  }

  static var inputCommands: [SCPICommand<OpenBiasingHolder>] {
    [
      SCPICommand(
        "*OPT",
        query: { holder, _ in
          let fitted = Option.allCases.filter { holder.settings.options.contains($0) }
          return .text(fitted.isEmpty ? "0" : fitted.map(\.rawValue).joined(separator: ","))
        }),
      SCPICommand(
        ":OUTPut:BLANk",
        set: { (holder, call) throws(SCPIError) in
          guard holder.settings.options.contains(.blank) else { throw hardwareMissing }
          holder.isBlanked = try call.flag()
          holder.record(.blank(holder.isBlanked), at: call.time)
          holder.cell.note("holder: beam \(holder.isBlanked ? "blanked" : "on")", at: call.time)
        },
        query: { (holder, _) throws(SCPIError) in
          guard holder.settings.options.contains(.blank) else { throw hardwareMissing }
          return .flag(holder.isBlanked)
        }),
      SCPICommand(
        ":SENSe:FORCe",
        query: { (holder, call) throws(SCPIError) in
          guard holder.settings.options.contains(.force) else { throw hardwareMissing }
          return .number(holder.settings.probe.force(gap: holder.gap(at: call.time)))
        }),
      SCPICommand(
        ":SENSe:AUXiliary",
        query: { (holder, _) throws(SCPIError) in
          guard holder.settings.options.contains(.auxiliary) else { throw hardwareMissing }
          let inputs = holder.settings.auxiliary.map {
            "\"\($0.name)\",\(SCPIText.scientific($0.value)),\"\($0.unit)\""
          }
          return .text(inputs.joined(separator: ","))
        }),
      SCPICommand(
        ":SENSe:GUARd[:STATe]",
        set: { (holder, call) throws(SCPIError) in holder.isGuarded = try call.flag() },
        query: { holder, _ in .flag(holder.isGuarded) }),
      SCPICommand(
        ":SENSe:LEAKage:LIMit",
        set: { (holder, call) throws(SCPIError) in
          holder.leakageLimit = try call.number(in: 1e-15...1e-3, default: 1e-10)
        }, query: { holder, _ in .number(holder.leakageLimit) }),
      SCPICommand(
        ":TRIGger:OUTPut:SOURce",
        set: { (holder, call) throws(SCPIError) in
          holder.triggerOutput = try call.keyword([
            ("SAMPle", .sample), ("STEP", .step), ("CONTact", .contact), ("OFF", .off),
          ])
        }, query: { holder, _ in .text(holder.triggerOutput.rawValue) }),
      SCPICommand(
        ":TRIGger:OUTPut:PULSe",
        set: { (holder, call) throws(SCPIError) in
          holder.pulseLength = try call.number(in: 1e-6...1, default: 1e-4)
        }, query: { holder, _ in .number(holder.pulseLength) }),
      SCPICommand(
        ":TRIGger:INPut:SLOPe",
        set: { (holder, call) throws(SCPIError) in
          holder.triggersOnRise = try call.keyword([("POSitive", true), ("NEGative", false)])
        }, query: { holder, _ in .text(holder.triggersOnRise ? "POS" : "NEG") }),
      SCPICommand(
        ":TRIGger:SOURce",
        set: { (holder, call) throws(SCPIError) in
          holder.triggerInput = try call.keyword([("IMMediate", .immediate), ("BUS", .bus), ("EXTernal", .external)])
        }, query: { holder, _ in .text(holder.triggerInput.rawValue) }),
    ]
  }
}
