import Quantities

extension Keithley2636B {
  static func defaults(_ settings: Settings) -> [String: TSPValue] {
    [
      "localnode.model": .text(settings.model.number), "localnode.serialno": .text(settings.serial),
      "localnode.revision": .text(settings.firmware), "localnode.linefreq": .number(settings.lineFrequency),
      "localnode.prompts": .number(0), "localnode.prompts4882": .number(1), "localnode.showerrors": .number(0),
      "localnode.autolinefreq": .number(1), "format.data": .number(1), "format.byteorder": .number(1),
      "format.asciiprecision": .number(6), "display.screen": .number(0), "beeper.enable": .number(1),
    ]
  }
  private static let readOnly: Set<String> = ["localnode.model", "localnode.serialno", "localnode.revision"]

  /// What a script asks for by name and gets at once.
  func attribute(_ what: String, _ arguments: [TSPValue]) -> [TSPValue] {
    switch what {
    case "channels": return [.number(Double(settings.model.channels))]
    case "lines": return [.number(Double(settings.model.lines))]
    case "get": return get(arguments.first?.text ?? "")
    case "set": return [.flag(set(arguments.first?.text ?? "", arguments.count > 1 ? arguments[1] : .none))]
    case "reset":
      guard let name = arguments.first?.text, let channel = channels[name] else {
        reset()
        return []
      }
      channel.reset()
      present(channel)
      return []
    case "nexterror":
      guard !problems.isEmpty else {
        return [.number(0), .text("Queue Is Empty"), .number(0), .number(0)]
      }
      let problem = problems.removeFirst()
      return [.number(Double(problem.code)), .text(problem.text), .number(20), .number(1)]
    case "clearerrors":
      problems = []
      return []
    case "resettimer":
      timerStart = clock.device(at: time)
      return []
    // A free-running counter of 1 µs (scpi-smu.md §4).
    case "timer": return [.number(Double((clock.device(at: time) - timerStart) / 1000) * 1e-6)]
    case "clock": return [.number(Double(clock.device(at: time) / 1000) * 1e-6)]
    case "seconds": return [.number(Double(clock.device(at: time) / 1_000_000_000))]
    default: return []
    }
  }

  /// - Returns: whether there is such an attribute, and its value.
  private func get(_ path: String) -> [TSPValue] {
    if let value = kept[path] { return [.flag(true), value] }
    if path == "errorqueue.count" { return [.flag(true), .number(Double(problems.count))] }
    guard let (channel, attribute) = channel(path) else { return [.flag(false)] }
    if attribute == "source.compliance" { return [.flag(true), .flag(isLimited(channel))] }
    if attribute == "condition" { return [.flag(true), .number(isLimited(channel) ? 2 : 0)] }
    guard channel.values[attribute] != nil else { return [.flag(false)] }
    return [.flag(true), .number(channel[attribute])]
  }

  /// - Returns: whether there is such an attribute; a value that it does not take is an entry of the error queue.
  private func set(_ path: String, _ value: TSPValue) -> Bool {
    if path.hasPrefix("digio.trigger.") { return true }
    if kept[path] != nil, !Self.readOnly.contains(path) {
      kept[path] = value
      return true
    }
    guard let (channel, attribute) = channel(path) else { return false }
    guard let number = value.number else {
      report(-286, "TSP Runtime error: a number was expected for \(path)")
      return true
    }
    let range = channel.range(current: true)
    do throws(TSPChannel.Refusal) { try channel.set(attribute, number) } catch {
      switch error {
      case .unknown: return false
      // Codes from memory of the manual's table of errors.
      case .tooBig: report(1102, "Parameter too big")
      case .tooSmall: report(1101, "Parameter too small")
      case .levelBeyondRange: report(5005, "Value too big for range")
      }
    }
    if channel.range(current: true) != range { channel.rangeChangedAt = time }
    present(channel)
    return true
  }

  private func channel(_ path: String) -> (TSPChannel, String)? {
    var words = path.split(separator: ".").map(String.init)
    if words.starts(with: ["status", "measurement", "instrument"]) { words.removeFirst(3) }
    guard words.count >= 2, let channel = channels[words[0]] else { return nil }
    return (channel, words.dropFirst().joined(separator: "."))
  }

  /// Hands what the terminals show now to the cell, if it is anything new.
  func present(_ channel: TSPChannel) {
    let wasOn = channel.onSince != nil
    channel.onSince = channel.isOn ? channel.onSince ?? time : nil
    guard channel.name == settings.wiredChannel else { return }
    if wasOn != channel.isOn {
      cell.note("potentiostat: \(channel.name) output \(channel.isOn ? "on" : "off")", at: time)
    }
    let terminal = channel.terminal(sourceOffset: settings.sourceOffset)
    guard terminal != channel.presented else { return }
    channel.presented = terminal
    cell.setTerminal(terminal, at: time)
  }

  private func isLimited(_ channel: TSPChannel) -> Bool {
    guard channel.isOn, channel.name == settings.wiredChannel else { return false }
    return cell.means(from: time - Seconds(1e-3), to: time).complianceShare > 0.5
  }

  /// A reading over an aperture: what was asked for, then the time of its end.
  func read(_ channel: TSPChannel, _ what: String, from begin: MonotonicTime, to end: MonotonicTime) -> [TSPValue] {
    let stamp = TSPValue.number(Double((clock.device(at: end) - timerStart) / 1000) * 1e-6)
    var (i, v) = (0.0, 0.0)
    if channel.name == settings.wiredChannel {
      let means = cell.means(from: begin, to: end)
      (i, v) = (means.current, means.voltage)
    }
    let span = (end - begin).value
    let seconds = Double(end.nanoseconds) * 1e-9
    i += settings.measureOffset + channel.currentNoise.next(aperture: span, at: seconds)
    v += settings.measureVoltageOffset + channel.voltageNoise.next(aperture: span, at: seconds)
    let range = channel.range(current: true, for: i)
    if range > 1.01e-10 { i += settings.higherRangeOffset }
    i += settings.settlingShare * range * channel.settlingShare(range, begin, end)
    i = abs(i) > range * 1.05 ? TSPChannel.overflow : channel.quantized(i, current: true)
    v =
      abs(v) > channel.range(current: false, for: v) * 1.05
      ? TSPChannel.overflow : channel.quantized(v, current: false)
    switch what {
    case "i": return [.number(i), stamp]
    case "v": return [.number(v), stamp]
    case "r": return [.number(v / i), stamp]
    case "p": return [.number(v * i), stamp]
    default: return [.number(i), .number(v), stamp]
    }
  }
}
