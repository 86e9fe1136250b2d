package import Quantities

/// A source-measure unit of the B2900A series (`scpi-smu.md` §0, 1, 5).
///
/// A reading is the mean over its aperture; its time stamp is the BEGINNING of that aperture on the instrument's own
/// clock, "saved when each measurement is triggered" (B2900A data sheet). After a reset `:INIT` and `:MEAS` switch the
/// output on by themselves, and off is NORMAL: 0 V, then the relay opens. The cell is at channel 1.
package final class KeysightB2900: KeysightDevice {
  package struct Settings: Sendable {
    /// B2901A, B2902A, B2911A or B2912A.
    package var model = "B2911A"
    package var manufacturer = "Agilent Technologies"
    package var serial = "MY51140001"
    package var firmware = "3.4.2011.5100"
    package var lineFrequency = 50.0
    /// A rms of a current reading at an aperture of 20 ms; goes with 1/√aperture.
    package var currentNoise = 50e-15
    /// V rms at an aperture of 20 ms.
    package var voltageNoise = 1e-6
    /// A by which the current source is off, and the current reading.
    package var sourceOffset = 0.0
    package var measureOffset = 0.0
    /// Share of the range by which a current reading is off right after a change.
    package var settlingShare = 1e-3
    /// How long the output is at 0 V before its relay opens, in the NORMAL state and after an emergency. A choice: the
    /// manual says the order, not the time.
    package var zeroBeforeOpening = Seconds(5e-3)
    package var isInterlockOpen = true
    package var seed: UInt64 = 1

    package init() {}

    var channels: Int { model == "B2902A" || model == "B2912A" ? 2 : 1 }
    var lowestRange: Double { model == "B2911A" || model == "B2912A" ? 1e-8 : 1e-7 }
  }

  typealias Function = KeysightFunction

  struct Quantity {
    var level = 0.0
    var sourceRange: Double
    var sourcesAutomatically = true
    var senseRange: Double
    var sensesAutomatically = true
    /// `:SENS:…:PROT`: what the source of the other quantity keeps this one within.
    var compliance: Double
    var isSensed = true
  }

  struct Channel {
    var isOn = false
    var onSince: MonotonicTime?
    var turnsOnByItself = true
    var turnsOffByItself = false
    var offMode = KeysightOffMode.normal
    var function = Function.voltage
    var quantities: [Function: Quantity] = [:]
    var aperture = 0.1e-3
    var isFourWire = false
    var protects = false
    var isHighCapacitance = false
    /// At 0 V until its relay opens.
    var relayOpensAt: MonotonicTime?
    /// Bits of the status word that an emergency left.
    var emergency = 0
    var presented: CellTerminal?
  }

  package let settings: Settings
  package let status = SCPIStatus()
  package let maximumMessage = 64 << 10
  let cell: any CellSide
  let clock: any InstrumentClock
  var state = KeysightState()
  var triggers: [KeysightTrigger]
  var channels: [Channel]
  private var currentInput: MeterInput
  private var voltageInput: MeterInput

  var lineFrequency: Double { settings.lineFrequency }
  var isInterlockOpen: Bool { settings.isInterlockOpen }
  package var outputOnSince: MonotonicTime? { channels[0].onSince }

  package init(_ settings: Settings, cell: any CellSide, clock: any InstrumentClock, at now: MonotonicTime) {
    self.settings = settings
    self.cell = cell
    self.clock = clock
    triggers = (0..<settings.channels).map { _ in KeysightTrigger() }
    channels = (0..<settings.channels).map { _ in Channel() }
    currentInput = MeterInput(noise: MeterNoise(white: settings.currentNoise, flicker: 0, seed: settings.seed))
    voltageInput = MeterInput(
      noise: MeterNoise(white: settings.voltageNoise, flicker: 0, seed: settings.seed &+ 0x2911))
    reset(at: now)
  }

  var label: (model: String, serial: String) { (settings.model, settings.serial) }
  package var identity: String {
    "\(settings.manufacturer),\(settings.model),\(settings.serial),\(settings.firmware)"
  }

  /// Reset: `:OUTP:ON:AUTO` 1, off NORMAL. Both are traps for a cell.
  package func reset(at now: MonotonicTime) {
    state = KeysightState(timerZero: clock.device(at: now))
    triggers = triggers.map { _ in KeysightTrigger() }
    for index in channels.indices {
      setOutput(false, index + 1, at: now)
      var channel = Channel()
      channel.relayOpensAt = channels[index].relayOpensAt
      channel.presented = channels[index].presented
      channel.quantities = [
        .voltage: Quantity(sourceRange: 2, senseRange: 2, compliance: 2),
        .current: Quantity(sourceRange: 1e-4, senseRange: 1e-4, compliance: 1e-4),
      ]
      channels[index] = channel
      present(index + 1, at: now)
    }
  }

  // MARK: output

  func setOutput(_ isOn: Bool, _ number: Int, at now: MonotonicTime) {
    let before = channels[number - 1]
    channels[number - 1].isOn = isOn
    channels[number - 1].onSince = isOn ? before.onSince ?? now : nil
    if isOn {
      channels[number - 1].relayOpensAt = nil
      channels[number - 1].emergency = 0
    } else if before.isOn, before.offMode == .normal {
      channels[number - 1].relayOpensAt = now + settings.zeroBeforeOpening
    }
    if isOn != before.isOn, number == 1 {
      cell.note(
        isOn
          ? "potentiostat: output on, \(before.function.rawValue)"
          : "potentiostat: output off, state \(before.offMode.rawValue)",
        at: now)
    }
    present(number, at: now)
  }

  /// Whatever the off state is set to: 0 V at once, then the switch opens (`scpi-smu.md` §1.1).
  package func emergencyOff(_ statusBits: Int, channel number: Int = 1, at now: MonotonicTime) {
    channels[number - 1].isOn = false
    channels[number - 1].onSince = nil
    channels[number - 1].emergency = statusBits
    channels[number - 1].relayOpensAt = now + settings.zeroBeforeOpening
    status.report(SCPIError(202, "Emergency off"))
    cell.note("potentiostat: emergency off", at: now)
    present(number, at: now)
  }

  /// Hands what the terminals show now to the cell, if it is anything new.
  func present(_ number: Int, at now: MonotonicTime) {
    let terminal = terminal(channels[number - 1])
    guard terminal != channels[number - 1].presented else { return }
    channels[number - 1].presented = terminal
    guard number == 1 else { return }
    cell.setTerminal(terminal, at: now)
    currentInput.noteChange(at: now)
  }

  func noteRangeChange(at now: MonotonicTime) { currentInput.noteChange(at: now) }

  private func terminal(_ channel: Channel) -> CellTerminal {
    guard let voltage = channel.quantities[.voltage], let current = channel.quantities[.current] else {
      return .highImpedance
    }
    guard channel.isOn else {
      let isAtZero = channel.relayOpensAt != nil || channel.offMode == .zero
      return isAtZero ? .voltage(0, currentLimit: current.compliance) : .highImpedance
    }
    switch channel.function {
    case .voltage: return .voltage(voltage.level, currentLimit: current.compliance)
    case .current:
      let step = sourceRange(channel, .current) * 1e-6
      let level = (current.level / step).rounded() * step
      return .current(level + settings.sourceOffset, voltageLimit: voltage.compliance)
    }
  }

  static let voltageRanges = [0.2, 2, 20, 200.0]
  func ranges(_ function: Function) -> [Double] {
    function == .voltage
      ? Self.voltageRanges
      : [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 1.5].filter { $0 >= settings.lowestRange }
  }

  func sourceRange(_ channel: Channel, _ function: Function) -> Double {
    guard let quantity = channel.quantities[function] else { return 1 }
    guard quantity.sourcesAutomatically else { return quantity.sourceRange }
    return ranges(function).first { abs(quantity.level) <= $0 * 1.05 } ?? quantity.sourceRange
  }

  // MARK: measuring

  func aperture(_ channel: Int) -> Seconds { Seconds(channels[channel - 1].aperture) }

  func willMeasure(_ channel: Int, at now: MonotonicTime) {
    if channels[channel - 1].turnsOnByItself, !channels[channel - 1].isOn { setOutput(true, channel, at: now) }
  }

  func measure(_ number: Int, from begin: MonotonicTime, to end: MonotonicTime) -> KeysightRow {
    let channel = channels[number - 1]
    var row = KeysightRow(stamp: clock.device(at: begin))
    row.status = channel.function == .current ? 1 : 0
    row.status |= channel.emergency
    row.source = channel.quantities[channel.function]?.level ?? .nan
    guard channel.isOn, number == 1 else { return row }
    let means = cell.means(from: begin, to: end)
    if means.complianceShare > 0.5 { row.status |= 2 }
    if channel.quantities[.voltage]?.isSensed == true {
      row.voltage = voltageInput.read(means.voltage, on: range(channel, .voltage), from: begin, to: end)
    }
    if channel.quantities[.current]?.isSensed == true {
      row.current = currentInput.read(
        means.current + settings.measureOffset, on: range(channel, .current), from: begin, to: end)
    }
    if row.voltage.isInfinite || row.current.isInfinite { row.status |= 1 << 13 }
    if channel.protects, means.complianceShare > 0.5 {
      emergencyOff(channel.function == .voltage ? 16 : 8, channel: number, at: end)
    }
    return row
  }

  /// Range of a reading: that of the source for its own function, else what `:SENS` says. Over-range 106 % (data sheet).
  private func range(_ channel: Channel, _ function: Function) -> MeterInput.Range {
    let quantity = channel.quantities[function]
    var scale = quantity?.senseRange ?? 1
    if function == channel.function { scale = sourceRange(channel, function) }
    let isSlow = function == .current && scale < 1.01e-8
    return MeterInput.Range(
      fullScale: scale, step: scale * (function == .voltage ? 5e-7 : 1e-6), overRange: 1.06,
      settlingShare: function == .current ? settings.settlingShare : 0, timeConstant: isSlow ? 4e-3 : 1e-3)
  }

  package func advance(to now: MonotonicTime) {
    for index in channels.indices {
      if let time = channels[index].relayOpensAt, time <= now {
        channels[index].relayOpensAt = nil
        present(index + 1, at: time)
      }
    }
    let wasRunning = triggers.map(\.isRunning)
    advanceTriggers(to: now)
    for (index, was) in wasRunning.enumerated() where was && !triggers[index].isRunning {
      if channels[index].turnsOffByItself, channels[index].isOn { setOutput(false, index + 1, at: now) }
    }
  }

  package static var commands: [SCPICommand<KeysightB2900>] {
    [("", 1), ("1", 1), ("2", 2)].flatMap { channelCommands($0.0, $0.1) + sourceMeasureCommands($0.0, $0.1) }
      + systemCommands
  }
}
