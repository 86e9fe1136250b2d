import BiasProtocol
import HolderDriver
import JSON
import Linux
import Potentiostat
import Quantities
import RunStore
import USB

/// The way from open contacts to a cell at 0 A with its voltage measured: potentiostat set up with its output open, leakage
/// measured, holder armed, zeros read, contacts closed. What was found is written into the run.
struct CellConnection {
  let run: ActiveRun
  let instruments: Instruments
  let settings: ControllerSettings
  /// Why the run is to end, as soon as somebody has said so.
  let stopWanted: @Sendable () -> String?
  let tell: @Sendable (String, String, [String: JSONValue]) -> Void

  /// How long the current is read with the contacts open to find the zero of a range: so long, or so many readings.
  private static let zeroTime = Seconds(0.6)
  private static let zeroReadings = 12.0
  /// What setting a range and its settling may take besides: 16 s on the 2 pA range of an electrometer.
  private static let longestZero = Seconds(30)
  /// The zero is read at least so often, however slowly the run samples.
  private static let zeroPeriod = Seconds(0.05)
  private static let leakageBias = Volts(1)

  private func goOn() throws(InstrumentFailure) {
    if let reason = stopWanted() { throw InstrumentFailure(description: reason) }
  }

  /// - Returns: the current range in use.
  func make() throws(InstrumentFailure) -> Amperes {
    let limits = run.compiled.limits
    let range = run.compiled.startRange
    let acquisition = Acquisition(
      period: min(run.compiled.samplePeriod, Self.zeroPeriod), currentRange: range,
      voltageRange: run.compiled.voltageRange
        ?? max(limits.voltage.upperBound.magnitude, limits.voltage.lowerBound.magnitude),
      limits: CellLimits(voltage: limits.voltage, current: limits.current))

    let found = try instruments.onHolder("connecting the holder") { station throws(InstrumentError) in
      try station.connect()
    }
    let identity = try instruments.onPotentiostat("connecting the potentiostat") { station throws(InstrumentError) in
      try station.connect()
    }
    try instruments.onPotentiostat("preparing the potentiostat") { station throws(InstrumentError) in
      try station.prepare(acquisition)
    }
    if let found {
      // Before it is armed: the measurement takes a second, in which no heartbeat gets through.
      try measureLeakage()
      run.writer.put(
        .device(
          kind: "holder", model: settings.holder?.model ?? "", identity: found.identity.description,
          connection: settings.holder?.connection ?? "", details: try holderDetails(found.state)))
      try instruments.onHolder("arming the holder") { station throws(InstrumentError) in try station.arm() }
    }
    // Without a holder the cell is connected already: 0 V would discharge it.
    var zeros: [CurrentZero] = []
    if settings.holder?.opensContacts == true {
      zeros = try readZeros(first: range)
    } else {
      try instruments.onPotentiostat("setting the range") { station throws(InstrumentError) in
        try station.setRange(range)
      }
      tell("zero", "no zero is read: without a holder that switches, the contacts cannot be opened", [:])
    }
    let period = run.compiled.samplePeriod
    try instruments.onPotentiostat("setting the sample period") { station throws(InstrumentError) in
      try station.setPeriod(period)
    }
    try describePotentiostat(identity, zeros)

    try goOn()
    _ = try instruments.onHolder("closing the contacts") { station throws(InstrumentError) in
      try station.closeContacts()
    }
    try instruments.onPotentiostat("switching the output on at 0 A") { station throws(InstrumentError) in
      try station.apply(.current(.zero))
    }
    return range
  }

  /// What was found before anything was changed, and what this holder cannot do.
  private func holderDetails(_ state: HolderState) throws(InstrumentFailure) -> [String: JSONValue] {
    let facts = try instruments.onHolder("asking the holder what it can do") { station throws(InstrumentError) in
      (station.abilities.names, station.limitations)
    }
    let profile = settings.holder?.profile
    return [
      "state_found": .string(state.name), "safe_cause_found": .string(state.safeCause),
      "abilities": .array((facts?.0 ?? []).map(JSONValue.string)),
      "limitations": .array((facts?.1 ?? []).map(JSONValue.string)), "profile": .optional(profile?.kind?.rawValue),
      "chip_serial": .optional(profile?.chip?.serial),
    ]
  }

  private func measureLeakage() throws(InstrumentFailure) {
    guard settings.holder?.measuresLeakage == true else { return }
    let bias = Self.leakageBias
    let leakage = try instruments.onHolder("measuring the holder's leakage") { station throws(InstrumentError) in
      try station.leakage(at: bias)
    }
    guard let leakage else { return }
    put("holder", "leakage_resistance", leakage.resistance.value, "Ohm")
    put("holder", "leakage_current", leakage.current.value, "A")
  }

  /// Reads the zero of every range that the protocol names, the first one last, so that it is in use afterwards.
  private func readZeros(first: Amperes) throws(InstrumentFailure) -> [CurrentZero] {
    let others = Set(run.compiled.steps.compactMap(\.range)).subtracting([first]).sorted()
    let span = max(Self.zeroTime, min(run.compiled.samplePeriod, Self.zeroPeriod) * Self.zeroReadings)
    var zeros: [CurrentZero] = []
    for range in others + [first] {
      try goOn()
      let zero = try instruments.onPotentiostat("reading the zero", within: span + Self.longestZero) {
        station throws(InstrumentError) in try station.measureZero(of: range, for: span)
      }
      zeros.append(zero)
      put("potentiostat", "current_zero", zero.current.value, "A")
      tell(
        "zero",
        "range \(zero.range): zero \(zero.current) ± \(zero.standardError) with the contacts open, subtracted from every reading",
        ["range_A": .number(zero.range.value), "zero_A": .number(zero.current.value)])
    }
    return zeros
  }

  private func describePotentiostat(_ identity: InstrumentIdentity, _ zeros: [CurrentZero]) throws(InstrumentFailure) {
    let (facts, volts) = try instruments.onPotentiostat("asking for the range") { station throws(InstrumentError) in
      (station.range, station.voltageAccuracy)
    }
    // As limits of error, which the alignment turns into standard uncertainties (÷ √3): with several ranges the largest,
    // and without a zero what the data sheet says.
    let worst = zeros.map(\.standardError.value).max()
    let limit = worst.map { $0 * 3.0.squareRoot() + (facts?.measureResolution.value ?? 0) / 2 }
    run.writer.put(
      .device(
        kind: "potentiostat", model: settings.potentiostat.model, identity: identity.description,
        connection: settings.potentiostat.usb.description,
        details: [
          "range_A": .optional(facts?.range.value),
          "accuracy_current_A": .number(limit ?? facts?.measureOffset.value ?? 0),
          "accuracy_voltage_V": .number(volts.value),
          "zeros": .array(
            zeros.map {
              [
                "range_A": .number($0.range.value), "zero_A": .number($0.current.value),
                "standard_error_A": .number($0.standardError.value),
              ]
            }),
        ]))
  }

  private func put(_ device: String, _ quantity: String, _ value: Double, _ unit: String) {
    run.writer.put(.reading(device: device, quantity: quantity, value: value, unit: unit))
  }
}
