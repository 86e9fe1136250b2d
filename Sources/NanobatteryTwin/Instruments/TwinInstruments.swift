package import EmulatedUSB
package import Quantities
import Linux

/// The two USB instruments of the twin, ready to serve: a Keithley 2450 and an OBH-1 holder in front of one cell.
package final class TwinInstruments: @unchecked Sendable {
  package struct Settings: Sendable {
    package var potentiostat = Keithley2450.Settings()
    package var holder = OpenBiasingHolder.Settings()
    /// Pull the potentiostat's cable so long after its output went on.
    package var unplugPotentiostatAfterOutputOn: Seconds?

    package init() {}
  }

  /// 05E6:2450, serial 04412345.
  package let potentiostat: EmulatedUSBDevice
  /// 1209:0B10, serial 000001.
  package let holder: EmulatedUSBDevice
  /// The instruments themselves, for use inside `potentiostat.perform` and `holder.perform` only.
  package let keithley: Keithley2450
  package let openHolder: OpenBiasingHolder
  private let settings: Settings
  /// Only the ticking thread uses it.
  private var hasUnplugged = false

  /// - Parameter now: the present instant; tests pass their own.
  package init(
    _ settings: Settings, cell: any CellSide, potentiostatClock: any InstrumentClock,
    holderClock: any InstrumentClock, now: @escaping @Sendable () -> MonotonicTime = { .now }
  ) {
    self.settings = settings
    let start = now()
    keithley = Keithley2450(settings.potentiostat, cell: cell, clock: potentiostatClock, at: start)
    openHolder = OpenBiasingHolder(settings.holder, cell: cell, clock: holderClock, at: start)

    // Endpoint addresses differ, so that a host has to read them; RL1 and padding as Keithley does, the holder without.
    let smu = USBTMCFunction.Identity(
      vendor: 0x05E6, product: 0x2450, manufacturerName: "Keithley Instruments Inc.", productName: "2450 SourceMeter",
      serial: settings.potentiostat.serial)
    let smuFunction = USBTMCFunction(
      smu, USBTMCCapabilities(indicatorPulse: true, endsOnTermChar: true, remoteLocal: true), padsResponses: true,
      instrument: SCPIInstrument(keithley), clock: now)
    potentiostat = EmulatedUSBDevice(smuFunction, clock: now)

    var obh = USBTMCFunction.Identity(
      vendor: 0x1209, product: 0x0B10, manufacturerName: "Open Holder", productName: "OBH-1 biasing holder",
      serial: settings.holder.serial)
    obh.bulkIn = 0x81
    obh.interruptIn = 0x82
    let obhFunction = USBTMCFunction(
      obh, USBTMCCapabilities(remoteLocal: false), instrument: SCPIInstrument(openHolder), clock: now)
    holder = EmulatedUSBDevice(obhFunction, clock: now)
  }

  /// What a `USBIPServer` serves: the potentiostat as 1-1, the holder as 1-2.
  package var exports: [USBIPServer.Export] {
    [.init(busID: "1-1", device: potentiostat), .init(busID: "1-2", device: holder)]
  }

  /// Lets both instruments go on; called about every millisecond by one thread.
  package func tick(_ now: MonotonicTime) {
    potentiostat.tick(now)
    holder.tick(now)
    guard let span = settings.unplugPotentiostatAfterOutputOn, !hasUnplugged else { return }
    let since = potentiostat.perform { keithley.outputOnSince }
    if let since, now - since >= span {
      hasUnplugged = true
      keithley.cell.note("potentiostat: cable pulled", at: now)
      potentiostat.unplug()
    }
  }
}
