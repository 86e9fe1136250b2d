package import JSON
import Quantities

// The stored and sent form: a superset of aurora-unicycler 0.4 (formats.md §1.7 C) with every step written out. Its keys
// mean what they mean there (mA, + = charge); keys that begin with "x_" are ours, in SI units, and decide.

extension CompiledProtocol {
  package var json: JSONValue {
    [
      "sample": ["name": .string(sampleID ?? name)],
      "record": ["time_s": .number(samplePeriod.value)],
      "safety": [
        "max_voltage_V": .number(limits.voltage.upperBound.value),
        "min_voltage_V": .number(limits.voltage.lowerBound.value),
        "max_current_mA": .number(Milliamperes.of(limits.current.upperBound)),
        "min_current_mA": .number(Milliamperes.of(limits.current.lowerBound)),
      ],
      "x_insitud": [
        "protocol": 1,
        "name": .string(name),
        "sample_id": .optional(sampleID),
        "area_m2": .optional(sampleArea?.value),
        "max_current_A": .number(limits.current.upperBound.value),
        "min_current_A": .number(limits.current.lowerBound.value),
        "dose_e_per_A2": .optional(limits.dose?.value),
        "range_A": .optional(range?.value),
        "voltage_range_V": .optional(voltageRange?.value),
        "wait_for_instruments_s": .optional(waitForInstruments?.value),
        "keep_at_end_s": .optional(keepAtEnd?.value),
        "cameras": .array(cameras.map(\.json)),
        "text": .string(text),
      ],
      "method": .array(steps.map(\.json)),
    ]
  }
}

extension Step {
  var json: JSONValue {
    var members: [String: JSONValue] = [
      "until_time_s": .number(bound.value),
      "x_index": .integer(Int64(index)),
      "x_line": .integer(Int64(line)),
      "x_cycle": .integer(Int64(cycle)),
      "x_label": .optional(label),
      "x_sentence": .string(sentence),
      "x_time_is_explicit": .bool(boundIsExplicit),
      "x_until": .array(until.map(\.json)),
      "x_record": recording.json,
      "x_range_A": .optional(range?.value),
    ]
    if let keepBefore { members["x_keep_before_s"] = .number(keepBefore.value) }
    if !marks.isEmpty { members["x_marks"] = .array(marks.map(JSONValue.string)) }
    let firstVoltage = until.first { $0.quantity == .voltage }
    switch action {
    case .rest:
      members["step"] = "open_circuit_voltage"
    case .current(let value):
      members["step"] = "constant_current"
      members["current_mA"] = .number(Milliamperes.of(value))
      members["x_current_A"] = .number(value.value)
      // unicycler knows one voltage, above when charging and below when discharging.
      if let stop = firstVoltage, (stop.comparison == .above) == (value.value > 0) {
        members["until_voltage_V"] = .number(stop.threshold)
      }
    case .voltage(let value):
      members["step"] = "constant_voltage"
      members["voltage_V"] = .number(value.value)
      if let stop = until.first(where: { $0.quantity == .current && $0.comparison == .below }) {
        members["until_current_mA"] = .number(Milliamperes.of(Amperes(stop.threshold)))
      }
    }
    return .object(members)
  }
}

extension StopCondition {
  var json: JSONValue {
    [
      "quantity": .string(quantity.rawValue), "comparison": .string(comparison.rawValue),
      (quantity == .voltage ? "threshold_V" : "threshold_A"): .number(threshold), "magnitude": .bool(magnitude),
    ]
  }
}

/// unicycler's unit of current. The digits are kept and only the exponent moves: 2e-12 A is 2e-09 mA, not
/// 2.0000000000000002e-09.
enum Milliamperes {
  static func of(_ current: Amperes) -> Double { shifted(current.value, by: 3) }
  static func amperes(_ milliamperes: Double) -> Amperes { Amperes(shifted(milliamperes, by: -3)) }

  private static func shifted(_ value: Double, by power: Int) -> Double {
    let parts = "\(value)".split(separator: "e")
    let exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
    return Double("\(parts[0])e\(exponent + power)") ?? value
  }
}
