import JSON
import Quantities

/// Results of the method `holder` as a person reads them.
enum HolderText {
  static func status(_ result: JSONValue) -> [String] {
    var table = TextTable()
    let profile = result["profile"]?.string.map { ", profile \($0)" } ?? ""
    table.rows.append(["holder", (result["model"]?.string ?? "?") + profile])
    table.rows.append(["  identity", result["identity"]?.string ?? Wording.nothing])
    let cause = result["safe_cause"]?.string ?? "NONE"
    let state = result["state"]?.string ?? Wording.nothing
    table.rows.append(["  state", cause == "NONE" ? state : "\(state), made safe last by \(cause)"])
    table.rows.append([
      "  contacts",
      contacts(result) + " " + (result["channels"]?.string ?? ""),
    ])
    let abilities = (result["abilities"]?.array ?? []).compactMap(\.string).joined(separator: ", ")
    table.rows.append(["  abilities", abilities.isEmpty ? "none" : abilities])
    for reading in result["readings"]?.array ?? [] {
      table.rows.append([
        "  " + (reading["quantity"]?.string ?? "?"), value(reading["value"], reading["unit"]?.string ?? ""),
      ])
    }
    if let motion = result["motion"], !motion.isNull { table.rows.append(["  probe", progress(motion)]) }
    for sentence in result["limitations"]?.array ?? [] { table.rows.append(["  warning", sentence.string ?? ""]) }
    return table.lines
  }

  private static func contacts(_ result: JSONValue) -> String {
    if result["state"]?.string == "INSERT" { return "grounded" }
    return result["contacts_closed"]?.bool == true ? "closed" : "open"
  }

  private static func value(_ value: JSONValue?, _ unit: String) -> String {
    guard let number = value?.double else { return Wording.nothing }
    switch unit {
    case "A": return Amperes(number).description
    case "V": return Volts(number).formatted(digits: 4)
    case "Ohm": return Ohms(number).formatted(digits: 4)
    case "K": return Kelvins(number).description
    case "1": return number == 0 ? "no" : "yes"
    default: return "\(number) \(unit)"
    }
  }

  /// "extending, fine -32.0 V, 4 steps".
  static func progress(_ motion: JSONValue) -> String {
    let phase = motion["phase"]?.string ?? "?"
    let fine = motion["fine_V"]?.double.map { ", fine \(fixed($0, decimals: 1)) V" } ?? ""
    let steps = motion["steps"]?.integer.map { ", \($0) coarse steps" } ?? ""
    // What is tried again and again has a reason.
    let reason = phase == "stopping" ? motion["message"]?.string.map { ": " + $0 } ?? "" : ""
    return phase + fine + steps + reason
  }

  static func ended(_ motion: JSONValue) -> [String] {
    let message = motion["message"]?.string ?? ""
    let steps = Wording.count(motion["steps"])
    switch motion["phase"]?.string {
    case "contact": return ["Contact after \(steps) coarse steps; \(message)."]
    case "retracted": return ["The probe is back, \(steps) coarse steps."]
    default: return ["The probe stopped after \(steps) coarse steps: \(message)."]
    }
  }

  static func channels(_ result: JSONValue) -> [String] {
    let channels = result["channels"]?.string ?? "(@)"
    return [channels == "(@)" ? "Every contact is open." : "Closed: \(channels)"]
  }

  static func heater(_ result: JSONValue) -> [String] {
    let now = result["temperature_K"]?.double.map { "; it is at \(Kelvins($0))" } ?? ""
    guard let set = result["set_K"]?.double else { return ["The heater is off\(now)."] }
    return ["The heater goes to \(Kelvins(set))\(now)."]
  }

  static func gate(_ result: JSONValue) -> [String] {
    ["The gate goes to \(Wording.volts(result["voltage_V"])), at 1 V/s."]
  }

  static func waveform(_ result: JSONValue) -> [String] {
    switch result["waveform"]?.string {
    case "saw": ["The coarse drive steps with a sawtooth."]
    case "cycl": ["The coarse drive steps with a cycloid."]
    default: ["The coarse drive steps with the table, which the holder gave back as it was sent."]
    }
  }

  static func leakage(_ result: JSONValue) -> [String] {
    let line =
      "Leakage at \(Wording.volts(result["bias_V"])): \(Wording.amperes(result["current_A"])), "
      + "\(value(result["resistance_Ohm"], "Ohm"))."
    guard result["within_limit"]?.bool == false else { return [line] }
    return [
      line,
      "That is beyond the limit of \(Wording.amperes(result["limit_A"])): clean the holder, or look at its guard.",
    ]
  }
}
