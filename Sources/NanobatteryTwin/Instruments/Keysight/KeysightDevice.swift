import Quantities

/// What the output is when it is off.
enum KeysightOffMode: String {
  case normal = "NORM", highImpedance = "HIZ", zero = "ZERO"
  static let keywords = [("NORMal", Self.normal), ("HIZ", .highImpedance), ("ZERO", .zero)]
}

/// What is sourced, or measured.
enum KeysightFunction: String, CaseIterable {
  case voltage = "VOLT", current = "CURR"
  var keyword: String { self == .voltage ? "VOLTage" : "CURRent" }

  /// As `:SENS:FUNC` has it.
  static func named(_ name: String) throws(SCPIError) -> KeysightFunction {
    guard let function = allCases.first(where: { SCPIPattern.isForm(name, of: $0.keyword) }) else {
      throw .illegalValue
    }
    return function
  }
}

/// What a reset sets back in every instrument of this maker.
struct KeysightState {
  var format = KeysightFormat()
  /// What the timer showed when it was reset last, ns of the clock.
  var timerZero: Int64 = 0
  var resetsTimer = true
  /// By number: what a digital line is for.
  var digitalLines: [Int: String] = [:]
}

/// What the instruments of this maker share: how they measure on a trigger, and how they answer.
protocol KeysightDevice: SCPIDevice {
  /// As the device's descriptors have them.
  var label: (model: String, serial: String) { get }
  /// Since when the output has been on, nil while it is off.
  var outputOnSince: MonotonicTime? { get }
  var clock: any InstrumentClock { get }
  var state: KeysightState { get set }
  var lineFrequency: Double { get }
  var isInterlockOpen: Bool { get }
  /// Channels, numbered from 1.
  var triggers: [KeysightTrigger] { get }
  func aperture(_ channel: Int) -> Seconds
  func measure(_ channel: Int, from begin: MonotonicTime, to end: MonotonicTime) -> KeysightRow
  /// `:INIT` and `:MEAS` are about to measure.
  func willMeasure(_ channel: Int, at now: MonotonicTime)
}

extension KeysightDevice {
  /// Keysight's sign: `+0,"No error"` (`scpi-smu.md` §5).
  package func describe(_ error: SCPIError, at now: MonotonicTime) -> String {
    "\(error.code >= 0 ? "+" : "")\(error.code),\"\(error.text)\""
  }

  func advanceTriggers(to now: MonotonicTime) {
    for index in triggers.indices where triggers[index].isRunning {
      triggers[index].advance(to: now, aperture: aperture(index + 1), clock) { measure(index + 1, from: $0, to: $1) }
    }
  }

  func channel(_ suffix: Int) throws(SCPIError) -> Int {
    guard triggers.indices.contains(suffix - 1) else { throw SCPIError(-114, "Header suffix out of range") }
    return suffix
  }

  /// `(@1)`, `(@2)`, `(@1,2)`, `(@1:2)`; channel 1 when there is none.
  func channels(_ call: SCPICall, _ index: Int = 0) throws(SCPIError) -> [Int] {
    guard index < call.arguments.count else { return [1] }
    let text = try call.argument(index)
    guard text.hasPrefix("(@"), text.hasSuffix(")") else { throw .dataType }
    var found: [Int] = []
    for item in text.dropFirst(2).dropLast().split(separator: ",") {
      let ends = item.split(separator: ":").map { Int(String($0).trimmedBlanks) }
      guard let first = ends.first ?? nil, let last = ends.last ?? nil, ends.count <= 2 else { throw .syntax }
      for number in min(first, last)...max(first, last) { found.append(try channel(number)) }
    }
    return found
  }

  func initiate(_ channels: [Int], at now: MonotonicTime) throws(SCPIError) {
    guard !channels.contains(where: { triggers[$0 - 1].isRunning }) else { throw SCPIError(-213, "Init ignored") }
    if state.resetsTimer { state.timerZero = clock.device(at: now) }
    for channel in channels {
      willMeasure(channel, at: now)
      triggers[channel - 1].begin(at: now, clock)
    }
  }

  func measureNow(_ channels: [Int], at now: MonotonicTime) throws(SCPIError) -> SCPIReply<Self> {
    guard !channels.contains(where: { triggers[$0 - 1].isRunning }) else { throw .settingsConflict }
    for channel in channels { willMeasure(channel, at: now) }
    let ends = channels.map { now + aperture($0) }
    return .later(
      ends.max() ?? now,
      { (device, _) throws(SCPIError) in
        let rows = channels.map { device.measure($0, from: now, to: now + device.aperture($0)) }
        for (channel, row) in zip(channels, rows) { device.triggers[channel - 1].keepOnly(row) }
        return device.state.format.bytes(rows, timerZero: device.state.timerZero)
      })
  }

  package func operationsEnd(at now: MonotonicTime) -> MonotonicTime? {
    triggers.contains(where: \.isRunning) ? nil : now
  }

  package func trigger(at now: MonotonicTime) throws(SCPIError) {
    for index in triggers.indices { triggers[index].pulse(.bus, at: now) }
  }
}
