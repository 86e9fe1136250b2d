extension SCPIInstrument {
  /// What every SCPI instrument understands (IEEE 488.2 §10, SCPI-1999 vol. 2 §§20, 21); `*OPC`, `*WAI`, `*CLS`, `*RST`
  /// and `*STB?` belong to the interpreter itself.
  static var common: [SCPICommand<Device>] {
    [
      SCPICommand("*IDN", query: { device, _ in .text(device.identity) }),
      SCPICommand(
        "*ESE",
        set: { (device, call) throws(SCPIError) in device.status.eventEnable = UInt8(try call.integer(in: 0...255)) },
        query: { device, _ in .integer(device.status.eventEnable) }),
      SCPICommand("*ESR", query: { device, _ in .integer(device.status.takeEvent()) }),
      SCPICommand(
        "*SRE",
        set: { (device, call) throws(SCPIError) in
          device.status.serviceEnable = UInt8(try call.integer(in: 0...255)) & ~0x40
        },
        query: { device, _ in .integer(device.status.serviceEnable) }),
      SCPICommand("*TST", query: { device, call in .integer(device.selfTest(at: call.time)) }),
      SCPICommand("*TRG", set: { (device, call) throws(SCPIError) in try device.trigger(at: call.time) }),
      SCPICommand(
        ":SYSTem:ERRor[:NEXT]",
        query: { device, call in .text(device.describe(device.status.nextError(), at: call.time)) }),
      SCPICommand(":SYSTem:ERRor:COUNt", query: { device, _ in .integer(device.status.errors.count) }),
      SCPICommand(":SYSTem:CLEar", set: { device, _ in device.status.clear() }),
      SCPICommand(":SYSTem:VERSion", query: { _, _ in .text("1999.0") }),
      SCPICommand(":STATus:PRESet", set: { device, _ in device.status.preset() }),
    ] + register("OPERation", \.operation) + register("QUEStionable", \.questionable)
  }

  private static func register(_ name: String, _ path: ReferenceWritableKeyPath<SCPIStatus, SCPIStatus.Register>)
    -> [SCPICommand<Device>]
  {
    [
      SCPICommand(
        ":STATus:\(name)[:EVENt]", query: { device, _ in .integer(device.status[keyPath: path].takeEvent()) }),
      SCPICommand(
        ":STATus:\(name):CONDition", query: { device, _ in .integer(device.status[keyPath: path].condition) }),
      SCPICommand(
        ":STATus:\(name):ENABle",
        set: { (device, call) throws(SCPIError) in
          device.status[keyPath: path].enable = UInt16(try call.integer(in: 0...32767))
        },
        query: { device, _ in .integer(device.status[keyPath: path].enable) }),
    ]
  }
}
