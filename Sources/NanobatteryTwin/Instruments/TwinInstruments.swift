package import EmulatedUSB
package import Quantities
import Linux

/// What every potentiostat of the twin can be told, whatever its model.
package struct TwinPotentiostatSettings: Sendable {
  /// Nil: the model's own.
  package var serial: String?
  /// A rms of a current reading at an aperture of 20 ms, on the lowest range.
  package var currentNoise = 50e-15
  /// A by which the current source, and the current reading, is off.
  package var sourceOffset = 0.0
  package var measureOffset = 0.0
  package var seed: UInt64 = 1

  package init() {}
}

/// Settings of a source-measure unit that every one of them has.
protocol TwinMeterSettings {
  var serial: String { get set }
  var currentNoise: Double { get set }
  var sourceOffset: Double { get set }
  var measureOffset: Double { get set }
  var seed: UInt64 { get set }
}

extension TwinMeterSettings {
  mutating func take(_ common: TwinPotentiostatSettings) {
    serial = common.serial ?? serial
    currentNoise = common.currentNoise
    sourceOffset = common.sourceOffset
    measureOffset = common.measureOffset
    seed = common.seed
  }
}

/// A potentiostat of the twin: its USB device, and what the twin looks at in it.
package struct TwinPotentiostat {
  package let device: EmulatedUSBDevice
  /// Since when its output has been on; used inside `device.perform` only.
  package let outputOnSince: () -> MonotonicTime?

  package init(device: EmulatedUSBDevice, outputOnSince: @escaping () -> MonotonicTime?) {
    self.device = device
    self.outputOnSince = outputOnSince
  }

  /// An instrument behind USBTMC; all of them pad their answers, so that a host has to count.
  init(
    _ identity: USBTMCFunction.Identity, _ capabilities: USBTMCCapabilities, _ instrument: any MessageInstrument,
    _ now: @escaping @Sendable () -> MonotonicTime, outputOnSince: @escaping () -> MonotonicTime?
  ) {
    let function = USBTMCFunction(identity, capabilities, padsResponses: true, instrument: instrument, clock: now)
    self.init(device: EmulatedUSBDevice(function, clock: now), outputOnSince: outputOnSince)
  }
}

/// One model of potentiostat that the twin can have.
package struct TwinPotentiostatModel: Sendable {
  /// As the daemon's configuration names it.
  package let name: String
  package let make:
    @Sendable (
      TwinPotentiostatSettings, any CellSide, any InstrumentClock, _ now: @escaping @Sendable () -> MonotonicTime
    ) -> TwinPotentiostat
}

package enum TwinPotentiostatModels {
  /// The one place where a model is registered.
  package static let all: [TwinPotentiostatModel] = [
    .keithley2450, .keithley2460, .keithley2461, .keithley2470, .keithley2634B, .keithley2635B, .keithley2636B,
    .keysightB2901A, .keysightB2902A, .keysightB2911A, .keysightB2912A, .keysightB2985A, .keysightB2987A,
    .emStat4LR, .emStat4HR, .nexus, .emStatPico,
  ]

  package static func named(_ name: String) -> TwinPotentiostatModel? { all.first { $0.name == name } }
}

/// The two USB instruments of the twin, ready to serve: a potentiostat and an OBH-1 holder in front of one cell.
package final class TwinInstruments: @unchecked Sendable {
  package struct Settings: Sendable {
    /// Of the potentiostat, when it is the Keithley 2450 that `init` without a model makes.
    package var potentiostat = Keithley2450.Settings()
    package var holder = OpenBiasingHolder.Settings()
    /// Pull the potentiostat's cable so long after its output went on.
    package var unplugPotentiostatAfterOutputOn: Seconds?

    package init() {}
  }

  package let potentiostat: EmulatedUSBDevice
  /// 1209:0B10, serial 000001.
  package let holder: EmulatedUSBDevice
  /// The holder itself, for use inside `holder.perform` only.
  package let openHolder: OpenBiasingHolder
  /// The potentiostat that was made from `settings.potentiostat`, for use inside `potentiostat.perform` only.
  package let keithley: Keithley2450?
  private let potentiostatOutputOnSince: () -> MonotonicTime?
  private let cell: any CellSide
  private let settings: Settings
  /// Only the ticking thread uses it.
  private var hasUnplugged = false

  /// - Parameters:
  ///   - model: the potentiostat; nil for a Keithley 2450 with `settings.potentiostat`.
  ///   - now: the present instant; tests pass their own.
  package init(
    _ settings: Settings, model: (TwinPotentiostatModel, TwinPotentiostatSettings)? = nil, cell: any CellSide,
    potentiostatClock: any InstrumentClock, holderClock: any InstrumentClock,
    now: @escaping @Sendable () -> MonotonicTime = { .now }
  ) {
    self.settings = settings
    self.cell = cell
    let start = now()
    let made: TwinPotentiostat
    if let (model, common) = model {
      made = model.make(common, cell, potentiostatClock, now)
      keithley = nil
    } else {
      let instrument = Keithley2450(settings.potentiostat, cell: cell, clock: potentiostatClock, at: start)
      made = .keithley2450(instrument, now)
      keithley = instrument
    }
    potentiostat = made.device
    potentiostatOutputOnSince = made.outputOnSince
    openHolder = OpenBiasingHolder(settings.holder, cell: cell, clock: holderClock, at: start)

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

  /// Since when the potentiostat's output has been on, nil while it is off.
  package var outputOnSince: MonotonicTime? { potentiostat.perform { potentiostatOutputOnSince() } }

  /// Lets both instruments go on; called about every millisecond by one thread.
  package func tick(_ now: MonotonicTime) {
    potentiostat.tick(now)
    holder.tick(now)
    guard let span = settings.unplugPotentiostatAfterOutputOn, !hasUnplugged else { return }
    let since = outputOnSince
    if let since, now - since >= span {
      hasUnplugged = true
      cell.note("potentiostat: cable pulled", at: now)
      potentiostat.unplug()
    }
  }
}
