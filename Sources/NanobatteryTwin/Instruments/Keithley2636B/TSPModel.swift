import EmulatedUSB
package import Quantities

/// A model of the 2600B family with low current ranges: what differs between them (scpi-smu.md §§0, 4).
package struct TSPModel: Sendable {
  /// As `localnode.model` has it.
  package let number: String
  let channels: Int
  let currentRanges: [Double]
  /// Digital lines; the models for less money have none.
  let lines: Int

  var name: String { "keithley-\(number.lowercased())" }

  private static let ranges = [1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 1.5]
  package static let k2634B = TSPModel(number: "2634B", channels: 2, currentRanges: ranges, lines: 0)
  package static let k2635B = TSPModel(number: "2635B", channels: 1, currentRanges: [1e-10] + ranges, lines: 14)
  package static let k2636B = TSPModel(number: "2636B", channels: 2, currentRanges: [1e-10] + ranges, lines: 14)

  /// The 2636's number is in the fact sheet (usbtmc.md §1); the others follow its pattern.
  var product: UInt16 {
    switch number {
    case "2634B": 0x2634
    case "2635B": 0x2635
    default: 0x2636
    }
  }
}

extension Keithley2636B.Settings: TwinMeterSettings {}

extension TwinPotentiostatModel {
  static let keithley2634B = keithley(.k2634B)
  static let keithley2635B = keithley(.k2635B)
  static let keithley2636B = keithley(.k2636B)

  private static func keithley(_ model: TSPModel) -> TwinPotentiostatModel {
    TwinPotentiostatModel(name: model.name) { common, cell, clock, now in
      var settings = Keithley2636B.Settings()
      settings.model = model
      settings.take(common)
      return .keithley2636B(Keithley2636B(settings, cell: cell, clock: clock, at: now()), now)
    }
  }
}

extension TwinPotentiostat {
  package static func keithley2636B(_ instrument: Keithley2636B, _ now: @escaping @Sendable () -> MonotonicTime)
    -> TwinPotentiostat
  {
    let identity = USBTMCFunction.Identity(
      vendor: 0x05E6, product: instrument.settings.model.product, manufacturerName: "Keithley Instruments Inc.",
      productName: "\(instrument.settings.model.number) SourceMeter", serial: instrument.settings.serial)
    // DT1: the TRIGGER message is the command interface trigger.
    return TwinPotentiostat(
      identity, USBTMCCapabilities(endsOnTermChar: true, trigger: true, remoteLocal: true), instrument, now
    ) { instrument.outputOnSince }
  }
}
