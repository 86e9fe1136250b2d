import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities

extension Program {
  /// An answer may wait for a leakage measurement, or for the holder to be opened.
  private static let holderPatience = Seconds(30)
  /// Between two lines of progress where the line cannot be redrawn.
  private static let plainPeriod = Seconds(5)

  func holder(_ command: HolderCommand) throws(ControlError) -> Int32 {
    switch command {
    case .status: try askHolder("status", text: HolderText.status)
    case .route(let channels): try askHolder("route", ["channels": .string(channels)], text: HolderText.channels)
    case .open: try askHolder("open", text: HolderText.channels)
    case .insert(let isOn):
      try askHolder("insert", ["value": .string(isOn ? "on" : "off")]) { _ in
        [
          isOn
            ? "All contacts are grounded. When the holder is in: insituctl holder insert off" : "The contacts are open."
        ]
      }
    case .approach(let axis, let steps): return try move("approach", axis, steps)
    case .retract(let axis, let steps): return try move("retract", axis, steps)
    case .stop:
      try askHolder("stop") { $0["stopped"]?.bool == true ? ["The probe is stopped."] : ["The probe was not moving."] }
    case .heat(let temperature): try askHolder("heat", ["value": .string(temperature)], text: HolderText.heater)
    case .leakage(let bias):
      try askHolder("leakage", bias.map { ["value": .string($0)] } ?? [:], text: HolderText.leakage)
    case .blank(let isOn):
      try askHolder("blank", ["value": .string(isOn ? "on" : "off")]) { _ in
        [isOn ? "The beam is blanked." : "The beam is on."]
      }
    case .gate(let voltage): try askHolder("gate", ["value": .string(voltage)], text: HolderText.gate)
    case .waveform(let shape): try askHolder("waveform", try Self.waveform(shape), text: HolderText.waveform)
    case .safe:
      return try stopAtOnce()
    }
    return ExitCode.well
  }

  /// A table is read here: the daemon may be on another computer.
  private static func waveform(_ shape: String) throws(ControlError) -> [String: JSONValue] {
    if ["saw", "cycl"].contains(shape) { return ["value": .string(shape)] }
    let bytes: [UInt8]
    do throws(LinuxError) { bytes = try FileSystem.read(shape, limit: mostTableBytes) } catch {
      throw ControlError(
        .noInput, "the table cannot be read: \(error)", remedy: "Write saw, cycl, or the path of a table of 256 points."
      )
    }
    return ["value": "user", "points": .string(String(decoding: bytes, as: UTF8.self))]
  }

  /// 256 points with plenty of room around them.
  private static let mostTableBytes = 16 << 10

  private func askHolder(
    _ action: String, _ parameters: [String: JSONValue] = [:], text: (JSONValue) -> [String]
  ) throws(ControlError) {
    var all = parameters
    all["action"] = .string(action)
    try ask(.holder, all, within: Self.holderPatience, text: text)
  }

  /// Begins a motion and shows it until it is over; Ctrl-C stops the probe.
  private func move(_ action: String, _ axis: String?, _ steps: String?) throws(ControlError) -> Int32 {
    var parameters: [String: JSONValue] = ["action": .string(action)]
    if let axis { parameters["axis"] = .string(axis) }
    if let steps { parameters["steps"] = .string(steps) }
    let signals = try signalDescriptor()
    let client = try ControlClient(invocation.endpoint, interruption: signals.number)
    do throws(ControlError) {
      _ = try client.call(.holder, parameters, within: Self.holderPatience)
      var shown: (line: String, at: MonotonicTime)?
      while true {
        let status = try client.call(.holder, ["action": "status"], within: Self.holderPatience)
        let motion = status["motion"] ?? .null
        if status["moving"]?.bool == false, motion["over"]?.bool ?? true {
          if shown != nil, console.redraw != nil { console.remark("") }
          try output(motion, text: HolderText.ended)
          return Self.exitCode(motion)
        }
        show(HolderText.progress(motion), &shown)
        if signals.next(within: FollowProgress.period) != nil { return try stopProbe() }
      }
    } catch  where error.kind == .interrupted {
      return try stopProbe()
    }
  }

  private func show(_ line: String, _ shown: inout (line: String, at: MonotonicTime)?) {
    guard !invocation.quiet else { return }
    if let redraw = console.redraw {
      redraw(String(line.prefix(max(1, console.width() - 1))))
      shown = (line, .now)
    } else if shown.map({ MonotonicTime.now - $0.at >= Self.plainPeriod }) ?? true {
      console.remark(line)
      shown = (line, .now)
    }
  }

  /// A client of its own: the first one may still wait for an answer.
  private func stopProbe() throws(ControlError) -> Int32 {
    let client = try ControlClient(invocation.endpoint, greeting: false)
    _ = try client.call(.holder, ["action": "stop"], within: Self.holderPatience)
    console.remark("the probe is stopped where it was")
    if invocation.json { try output(["stopped": true]) { _ in [] } }
    return ControlErrorKind.interrupted.exitCode
  }

  private static func exitCode(_ motion: JSONValue) -> Int32 {
    switch motion["phase"]?.string {
    case "contact", "retracted": ExitCode.well
    case "stopped": ExitCode.stopped
    default: ExitCode.failed
    }
  }
}
