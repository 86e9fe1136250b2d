import EmulatedUSB
package import Quantities

extension TwinPotentiostatModel {
  static let emStat4LR = palmSens(.emStat4LR)
  static let emStat4HR = palmSens(.emStat4HR)
  static let nexus = palmSens(.nexus)
  static let emStatPico = palmSens(.emStatPico)

  private static func palmSens(_ hardware: PalmSensHardware) -> TwinPotentiostatModel {
    TwinPotentiostatModel(name: hardware.name) { common, cell, clock, now in
      var settings = MethodScriptInstrument.Settings()
      settings.common = common
      return .palmSens(MethodScriptInstrument(hardware, settings, cell: cell, clock: clock), now)
    }
  }
}

extension TwinPotentiostat {
  /// Puts a MethodSCRIPT instrument behind the USB function that it has.
  package static func palmSens(_ instrument: MethodScriptInstrument, _ now: @escaping @Sendable () -> MonotonicTime)
    -> TwinPotentiostat
  {
    let hardware = instrument.hardware
    var identity = USBIdentity(
      vendor: hardware.vendor, product: hardware.product,
      manufacturerName: hardware.isFTDI ? "FTDI" : "PalmSens BV", productName: hardware.productName,
      serial: instrument.serial)
    // Full speed (§1).
    identity.speed = .full
    identity.maximumPacket = 64
    let function: any USBFunction =
      hardware.isFTDI
      ? FTDIFunction(identity, instrument: instrument, clock: now)
      : CDCACMFunction(identity, instrument: instrument, clock: now)
    return TwinPotentiostat(device: EmulatedUSBDevice(function, clock: now)) { instrument.cellOnSince }
  }
}
