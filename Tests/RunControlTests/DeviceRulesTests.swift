import EmulatedUSB
import Glibc
import HolderDriver
import Linux
import NanobatteryTwin
import Potentiostat
import Quantities
import Testing

/// The permissions of devices that are installed with the daemon, read as udev reads them where these files need it.
private struct DeviceRules {
  struct Rule {
    var line: Int
    var matches: [String: String] = [:]
    var assignments: [String: String] = [:]
  }

  private(set) var rules: [Rule] = []
  private(set) var problems: [String] = []

  static let path =
    "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/systemd/60-insitud.rules"

  init() throws {
    let text = String(decoding: try FileSystem.read(Self.path, limit: 1 << 16), as: UTF8.self)
    var joined = ""
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      if line.hasSuffix("\\") {
        joined += line.dropLast()
        continue
      }
      let whole = joined + line
      joined = ""
      guard !whole.isEmpty, !whole.hasPrefix("#") else { continue }
      var rule = Rule(line: number + 1)
      for part in Self.parts(whole) { read(part, into: &rule) }
      rules.append(rule)
    }
  }

  /// Parted by commas, of which those in quotes are part of a value.
  private static func parts(_ text: String) -> [String] {
    var parts = [""]
    var isQuoted = false
    for character in text {
      if character == "\"" { isQuoted.toggle() }
      if character == ",", !isQuoted { parts.append("") } else { parts[parts.count - 1].append(character) }
    }
    return parts.map { String($0.drop { $0 == " " }) }.map { String($0.reversed().drop { $0 == " " }.reversed()) }
  }

  private mutating func read(_ part: String, into rule: inout Rule) {
    for sign in ["==", "!=", "+=", "="] {
      guard let range = part.firstRange(of: sign) else { continue }
      let (key, value) = (String(part[..<range.lowerBound]), part[range.upperBound...])
      let known = ["ACTION", "SUBSYSTEM", "GROUP", "MODE", "TAG", "GOTO", "LABEL"]
      let isKnown = known.contains(key) || ["ENV{", "ATTR{", "TEST"].contains { key.hasPrefix($0) }
      if !isKnown || value.count < 2 || value.first != "\"" || value.last != "\"" {
        problems.append("line \(rule.line): \(part)")
      }
      let inside = String(value.dropFirst().dropLast())
      if sign == "==" || sign == "!=" { rule.matches[key + sign] = inside } else { rule.assignments[key] = inside }
      return
    }
    problems.append("line \(rule.line): \(part)")
  }

  static func matches(_ text: String, _ pattern: String) -> Bool {
    pattern.split(separator: "|").contains { fnmatch(String($0), text, 0) == 0 }
  }
}

@Suite("Permissions of USB devices")
struct DeviceRulesTests {
  private struct Device {
    var model: String
    var vendor: String
    var product: String
  }

  private static func hex(_ number: UInt16) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 4 - digits.count) + digits
  }

  /// Every model that can be configured, with the numbers that the twin's devices have: those of docs/instruments.md.
  private static func devices() throws -> [Device] {
    var found: [Device] = []
    for model in PotentiostatModels.all.map(\.name) {
      let bench = try ControllerBench(model)
      let facts = bench.instruments.potentiostat.descriptors
      found.append(Device(model: model, vendor: hex(facts.vendor), product: hex(facts.product)))
      bench.end()
    }
    for model in HolderModels.all where model.needsUSB {
      #expect(model.name == "obh-1", "the numbers of \(model.name) are not known here")
      found.append(Device(model: model.name, vendor: "1209", product: "0b10"))
    }
    return found
  }

  private static func names(_ rule: DeviceRules.Rule, _ device: Device) -> Bool {
    guard let vendor = rule.matches["ATTR{idVendor}=="] else { return false }
    return DeviceRules.matches(device.vendor, vendor)
      && DeviceRules.matches(device.product, rule.matches["ATTR{idProduct}=="] ?? "*")
  }

  @Test("Every model that can be configured is given to the group by its numbers, and no rule is about anything else")
  func covered() throws {
    let rules = try DeviceRules()
    #expect(rules.problems.isEmpty)
    let devices = try Self.devices()
    #expect(devices.count == PotentiostatModels.all.count + 1)
    let grants = rules.rules.filter { $0.assignments["GROUP"] == "insitud" }
    let powered = rules.rules.filter { $0.assignments["ATTR{power/control}"] == "on" }
    for device in devices {
      #expect(
        grants.contains { Self.names($0, device) && $0.assignments["MODE"] == "0660" }, "\(device.model) has no rule")
      #expect(powered.contains { Self.names($0, device) }, "\(device.model) may be suspended")
    }
    for rule in grants + powered where rule.matches["ATTR{idVendor}=="] != nil {
      #expect(devices.contains { Self.names(rule, $0) }, "line \(rule.line) names no model")
    }
    // An EmStat would take ModemManager's commands for its own.
    for device in devices where ["300a", "0403"].contains(device.vendor) {
      #expect(
        grants.contains { Self.names($0, device) && $0.assignments["ENV{ID_MM_DEVICE_IGNORE}"] == "1" },
        "\(device.model) is left to ModemManager")
    }
  }

  @Test("Every jump has its label")
  func labels() throws {
    let rules = try DeviceRules().rules
    let labels = Set(rules.compactMap { $0.assignments["LABEL"] })
    #expect(labels.count == 1)
    for rule in rules { if let target = rule.assignments["GOTO"] { #expect(labels.contains(target)) } }
    #expect(rules.last?.assignments["LABEL"] != nil)
  }
}
