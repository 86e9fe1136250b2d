import ControlProtocol
import HolderDriver
import JSON
import Journal
import Linux
import Quantities
import USB

/// What the holder does beside its contacts and its probe: heater, gate, leakage, the coarse drive's waveform.
extension RunController {
  func heat(_ text: String, given: Given) throws(ControlError) -> JSONValue {
    var temperature: Kelvins?
    if text != "off" {
      do throws(QuantityError) { temperature = try Kelvins(parsing: text) } catch {
        throw ControlError(.usage, "\(error)", remedy: "Say for example: insituctl holder heat 350 C, or: heat off.")
      }
    }
    let wanted = temperature
    let work: @Sendable (HolderStation) throws(InstrumentError) -> HeaterReading? = {
      station throws(InstrumentError) in
      try station.heat(to: wanted)
      return try station.heaterReading()
    }
    // In a run the holder is armed and may be heated; without one it is armed for it. Off is possible at any time.
    let needsNobodyElse = wanted != nil && activeRun == nil
    let reading = needsNobodyElse ? try operate("heating", releasing: given, work) : try reach("the heater", work)
    let words = wanted.map { "heater to \($0)" } ?? "heater off"
    event("heater", words, details: ["temperature_K": .optional(wanted?.value)], in: activeRun)
    return [
      "set_K": .optional(wanted?.value), "temperature_K": .optional(reading?.temperature.value),
      "resistance_Ohm": .optional(reading?.resistance.value),
    ]
  }

  func leakage(_ text: String?) throws(ControlError) -> JSONValue {
    let bias: Volts
    do throws(QuantityError) {
      bias = try text.map { text throws(QuantityError) in try Volts(parsing: text) } ?? Volts(1)
    } catch {
      throw ControlError(.usage, "\(error)", remedy: "Say for example: insituctl holder leakage 1 V.")
    }
    guard (0.01...10).contains(bias.value.magnitude) else {
      throw ControlError(.usage, "leakage is not measured at \(bias)", remedy: "Between 10 mV and 10 V, either sign.")
    }
    let found = try operate("measuring leakage") { station throws(InstrumentError) in
      let (resistance, current) = try station.leakage(at: bias)
      return (resistance, current)
    }
    let limit = settings.holder?.profile.leakageLimit ?? Amperes(1e-10)
    let isWithin = found.1.magnitude <= limit
    event(
      "leakage", "leakage at \(bias): \(found.1), \(found.0)", in: nil, isWithin ? .info : .warning)
    return [
      "bias_V": .number(bias.value), "resistance_Ohm": .number(found.0.value), "current_A": .number(found.1.value),
      "limit_A": .number(limit.value), "within_limit": .bool(isWithin),
    ]
  }

  /// In a run, whose contacts are closed: the holder is armed, and nothing is released.
  func driveGate(_ text: String) throws(ControlError) -> JSONValue {
    let voltage: Volts
    do throws(QuantityError) { voltage = try Volts(parsing: text) } catch {
      throw ControlError(.usage, "\(error)", remedy: "Say for example: insituctl holder gate 1.5 V.")
    }
    guard (-10...10).contains(voltage.value) else {
      throw ControlError(.usage, "the gate cannot be put to \(voltage)", remedy: "Between -10 V and 10 V.")
    }
    try reach("the gate") { station throws(InstrumentError) in try station.driveGate(to: voltage) }
    event("gate", "gate to \(voltage)", details: ["voltage_V": .number(voltage.value)], in: activeRun)
    return ["voltage_V": .number(voltage.value)]
  }

  func setWaveform(_ shape: String, _ points: String?) throws(ControlError) -> JSONValue {
    let waveform: StepWaveform
    switch shape {
    case "saw": waveform = .sawtooth
    case "cycl": waveform = .cycloid
    case "user":
      do throws(WaveformTable.Problem) { waveform = .user(try WaveformTable(parsing: points ?? "")) } catch {
        throw ControlError(
          .data, "\(error)", remedy: "Write 256 whole numbers from 0 to 255; docs/obh-1.md says what they mean.")
      }
    default:
      throw ControlError(.usage, "there is no waveform “\(shape)”", remedy: "Waveforms: saw, cycl, user with points.")
    }
    try operate("setting the waveform") { station throws(InstrumentError) in try station.setWaveform(waveform) }
    event("waveform", "the coarse drive's waveform is “\(shape)”", in: nil)
    return ["waveform": .string(shape)]
  }
}
