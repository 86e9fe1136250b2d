import EmulatedUSB
import Quantities

extension KeysightB2900.Settings: TwinMeterSettings {}

extension TwinPotentiostatModel {
  static let keysightB2901A = keysightB2900("keysight-b2901a", "B2901A", 0x8B18)
  static let keysightB2902A = keysightB2900("keysight-b2902a", "B2902A", 0x8C18)
  static let keysightB2911A = keysightB2900("keysight-b2911a", "B2911A", 0x8D18)
  static let keysightB2912A = keysightB2900("keysight-b2912a", "B2912A", 0x8E18)
  static let keysightB2985A = keysightB2980("keysight-b2985a", "B2985A", 0x9218)
  static let keysightB2987A = keysightB2980("keysight-b2987a", "B2987A", 0x9318)

  /// Product numbers: B2901A and B2902A `usbtmc.md` §1, B2911A and B2912A as public scripts address them.
  private static func keysightB2900(_ name: String, _ model: String, _ product: UInt16) -> TwinPotentiostatModel {
    TwinPotentiostatModel(name: name) { common, cell, clock, now in
      var settings = KeysightB2900.Settings()
      settings.model = model
      settings.take(common)
      return .keysight(KeysightB2900(settings, cell: cell, clock: clock, at: now()), product, now)
    }
  }

  /// The product numbers of the electrometers are made up: none was found. An electrometer's noise is a hundredth of
  /// that of a source-measure unit.
  private static func keysightB2980(_ name: String, _ model: String, _ product: UInt16) -> TwinPotentiostatModel {
    TwinPotentiostatModel(name: name) { common, cell, clock, now in
      var settings = KeysightB2980.Settings()
      settings.model = model
      settings.serial = common.serial ?? settings.serial
      settings.currentNoise = common.currentNoise / 100
      settings.measureOffset = common.measureOffset
      settings.seed = common.seed
      return .keysight(KeysightB2980(settings, cell: cell, clock: clock, at: now()), product, now)
    }
  }
}

extension TwinPotentiostat {
  /// Endpoints differ from the other maker's, so that a host has to look.
  static func keysight(
    _ instrument: some KeysightDevice, _ product: UInt16, _ now: @escaping @Sendable () -> MonotonicTime
  ) -> TwinPotentiostat {
    let (model, serial) = instrument.label
    var identity = USBTMCFunction.Identity(
      vendor: 0x0957, product: product, manufacturerName: "Keysight Technologies", productName: model, serial: serial)
    identity.bulkOut = 0x02
    identity.bulkIn = 0x86
    identity.interruptIn = 0x88
    return TwinPotentiostat(
      identity, USBTMCCapabilities(indicatorPulse: true, endsOnTermChar: true, remoteLocal: true),
      SCPIInstrument(instrument), now
    ) { instrument.outputOnSince }
  }
}
