import BiasProtocol
import ControlProtocol
import JSON
import Quantities
import RunStore

extension Program {
  /// What the plan is reckoned with, from the daemon's instruments or assumed.
  struct Instruments: Equatable {
    var cameras: [PlannedCamera] = []
    var potentiostat: PlannedInstrument?

    /// - Parameter devices: the result of the method `devices`; null without a daemon.
    init(devices: JSONValue) {
      for device in devices["devices"]?.array ?? [] {
        if let camera = PlannedCamera(device: device) { cameras.append(camera) }
        if let capabilities = device["capabilities"] { potentiostat = PlannedInstrument(json: capabilities) }
      }
    }

    /// The camera this program is made for, once for each name that the protocol has.
    static func assumedCameras(of compiled: CompiledProtocol) -> [PlannedCamera] {
      let names = compiled.cameras.isEmpty ? ["camera"] : compiled.cameras.map(\.name)
      return names.map { PlannedCamera(name: $0, width: 1024, height: 1024, bytesPerPixel: 2) }
    }
  }

  /// Prints what a protocol will do; with `--json` its compiled form, with the plan as `x_plan`.
  func checkProtocol(_ path: String) throws(ControlError) {
    let file = try ProtocolFile(path)
    let compiled: CompiledProtocol
    do throws(ProtocolErrors) {
      compiled = try CompiledProtocol(parsing: file.text)
    } catch {
      throw Self.refusal(error.errors, of: file)
    }
    let instruments = Instruments(devices: askedDevices())
    let isAssumed = instruments.cameras.isEmpty
    if isAssumed && !invocation.quiet {
      console.remark("insituctl: the camera is not known here; frames of 1024 × 1024 × 16 bit are assumed")
    }
    let cameras = isAssumed ? Instruments.assumedCameras(of: compiled) : instruments.cameras
    let hindrances =
      compiled.hindrances(on: cameras) + (instruments.potentiostat.map { compiled.hindrances(on: $0) } ?? [])
    guard hindrances.isEmpty else { throw Self.refusal(hindrances, of: file) }
    let plan = compiled.plan(
      cameras: cameras, indexBytes: IndexRecord.byteCount, instrument: instruments.potentiostat)
    var document = compiled.json.object ?? [:]
    document["x_plan"] = plan.json
    try output(.object(document)) { _ in [String(plan.table().dropLast())] }
  }

  private static func refusal(_ errors: [ProtocolError], of file: ProtocolFile) -> ControlError {
    ControlError(
      file: file.name,
      places: errors.map {
        ControlError.Place(line: $0.line, column: $0.column, message: $0.message, remedy: $0.remedy ?? "")
      })
  }

  /// The daemon's instruments; null when no daemon answers, for a check needs none.
  private func askedDevices() -> JSONValue {
    guard let client = try? ControlClient(invocation.endpoint, within: Seconds(1)) else { return .null }
    return (try? client.call(.devices, within: Seconds(2))) ?? .null
  }
}

extension PlannedCamera {
  /// - Returns: nil for an entry that is no camera's, or does not say what its frames are like.
  fileprivate init?(device: JSONValue) {
    guard let name = device["name"]?.string, let width = device["frame_width"]?.integer,
      let height = device["frame_height"]?.integer, let bytes = device["frame_bytes"]?.integer, bytes > 0,
      (1...Int64(Int32.max)).contains(width), (1...Int64(Int32.max)).contains(height)
    else { return nil }
    self.init(
      name: name, width: Int(width), height: Int(height), bytesPerPixel: max(1, Int(bytes / (width * height))),
      watch: device["watch_Hz"]?.double.map { Hertz($0) })
  }
}
