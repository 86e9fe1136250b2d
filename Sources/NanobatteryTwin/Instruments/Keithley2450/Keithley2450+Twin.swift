import EmulatedUSB
package import Quantities

extension Keithley2450.Settings: TwinMeterSettings {}

extension TwinPotentiostatModel {
  static let keithley2450 = keithley(.k2450)
  static let keithley2460 = keithley(.k2460)
  static let keithley2461 = keithley(.k2461)
  static let keithley2470 = keithley(.k2470)

  private static func keithley(_ model: KeithleyModel) -> TwinPotentiostatModel {
    TwinPotentiostatModel(name: model.name) { common, cell, clock, now in
      var settings = Keithley2450.Settings()
      settings.model = model
      settings.take(common)
      return .keithley2450(Keithley2450(settings, cell: cell, clock: clock, at: now()), now)
    }
  }
}

extension TwinPotentiostat {
  package static func keithley2450(_ instrument: Keithley2450, _ now: @escaping @Sendable () -> MonotonicTime)
    -> TwinPotentiostat
  {
    // Endpoint addresses differ between makers, so that a host has to read them; RL1 as Keithley does.
    let model = instrument.settings.model
    let identity = USBTMCFunction.Identity(
      vendor: 0x05E6, product: model.product, manufacturerName: "Keithley Instruments Inc.",
      productName: "\(model.number) SourceMeter", serial: instrument.settings.serial)
    return TwinPotentiostat(
      identity, USBTMCCapabilities(indicatorPulse: true, endsOnTermChar: true, remoteLocal: true),
      SCPIInstrument(instrument), now
    ) { instrument.outputOnSince }
  }
}
