import BiasProtocol
import ControlProtocol
import JSON
import Quantities
import RunStore

extension Program {
  /// What the plan is reckoned with, from the daemon's instruments or assumed.
  struct Instruments: Equatable {
    /// The camera this program is made for: 1024 × 1024 pixels of 16 bit.
    static let assumedFrameBytes = 1024 * 1024 * 2

    var frameBytes: Int?
    var potentiostat: PlannedInstrument?

    /// - Parameter devices: the result of the method `devices`; null without a daemon.
    init(devices: JSONValue) {
      for device in devices["devices"]?.array ?? [] {
        if let bytes = device["frame_bytes"]?.integer, bytes > 0 { frameBytes = Int(bytes) }
        if let capabilities = device["capabilities"] { potentiostat = PlannedInstrument(json: capabilities) }
      }
    }
  }

  /// Prints what a protocol will do; with `--json` its compiled form, with the plan as `x_plan`.
  func checkProtocol(_ path: String) throws(ControlError) {
    let file = try ProtocolFile(path)
    let compiled: CompiledProtocol
    do throws(ProtocolErrors) {
      compiled = try CompiledProtocol(parsing: file.text)
    } catch {
      throw ControlError(
        file: file.name,
        places: error.errors.map {
          ControlError.Place(line: $0.line, column: $0.column, message: $0.message, remedy: $0.remedy ?? "")
        })
    }
    let instruments = Instruments(devices: askedDevices())
    if instruments.frameBytes == nil && !invocation.quiet {
      console.remark("insituctl: the camera is not known here; frames of 1024 × 1024 × 16 bit are assumed")
    }
    if let potentiostat = instruments.potentiostat {
      let hindrances = compiled.hindrances(on: potentiostat)
      guard hindrances.isEmpty else {
        throw ControlError(
          file: file.name,
          places: hindrances.map {
            ControlError.Place(line: $0.line, column: $0.column, message: $0.message, remedy: $0.remedy ?? "")
          })
      }
    }
    let plan = compiled.plan(
      frameBytes: instruments.frameBytes ?? Instruments.assumedFrameBytes, indexBytes: IndexRecord.byteCount,
      instrument: instruments.potentiostat)
    var document = compiled.json.object ?? [:]
    document["x_plan"] = plan.json
    try output(.object(document)) { _ in [String(plan.table().dropLast())] }
  }

  /// The daemon's instruments; null when no daemon answers, for a check needs none.
  private func askedDevices() -> JSONValue {
    guard let client = try? ControlClient(invocation.endpoint, within: Seconds(1)) else { return .null }
    return (try? client.call(.devices, within: Seconds(2))) ?? .null
  }
}
