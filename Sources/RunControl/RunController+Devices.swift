import Alignment
import BiasProtocol
import ControlProtocol
import FrameIngest
import HolderDriver
import JSON
import Linux
import Potentiostat
import Quantities
import RunStore
import USB

/// What `insituctl devices` shows.
extension RunController {
  /// Every instrument as it answers now. On the desk's thread: it asks them.
  var devices: JSONValue {
    var list = [potentiostatDevice]
    if settings.holder != nil { list.append(holderDevice) }
    for station in instruments.cameras {
      let identity = station.identity.read { $0 }
      list.append(
        entry(
          station.name, connection: station.setup.source.url, clock: station.clock,
          [
            "clock_meaning": .optional(identity?.clock),
            "model": .string(identity?.model ?? station.setup.source.model), "name": .string(station.name),
            "frame_bytes": .integer(Int64(station.setup.frameBytes)),
            "frame_width": .integer(Int64(station.setup.width)), "frame_height": .integer(Int64(station.setup.height)),
            "watch_Hz": .optional(station.setup.watch?.value),
          ]))
    }
    return ["devices": .array(list)]
  }

  private var potentiostatDevice: JSONValue {
    struct Facts: Sendable {
      var range: RangeFacts?
      var remarks: [String] = []
      var errors: [String] = []
    }
    var facts = Facts()
    do throws(InstrumentFailure) {
      facts = try instruments.onPotentiostat("the potentiostat", within: Seconds(8)) {
        station throws(InstrumentError) in
        let identity = try station.connect()
        _ = identity
        return Facts(range: station.range, remarks: station.abilities.remarks, errors: try station.errors())
      }
      let identity = instruments.potentiostat.run(within: Seconds(1)) { $0.identity?.description } ?? nil
      board.connected("potentiostat", identity ?? "")
    } catch { board.failed("potentiostat", "\(error)") }
    let planned = plannedInstrument
    var warnings = (settings.holder == nil ? settings.holderLimitation.map { [$0] } ?? [] : []) + facts.remarks
    if let planned, let run = activeRun { warnings += run.compiled.doubts(on: planned) }
    var members: [String: JSONValue] = [
      "errors": .array(facts.errors.map(JSONValue.string)), "warnings": .array(warnings.map(JSONValue.string)),
    ]
    if let range = facts.range {
      members["range_A"] = .number(range.range.value)
      members["resolution_A"] = .number(range.measureResolution.value)
      members["accuracy_A"] = .number(range.measureOffset.value)
      members["accuracy_gain"] = .number(range.measureGain)
      members["settling_s"] = .number(range.settling.value)
    }
    if let planned {
      members["lowest_range_A"] = .optional(planned.ranges.first?.full.value)
      members["capabilities"] = planned.json
    }
    return entry("potentiostat", connection: settings.potentiostat.usb.description, clock: potentiostatClock, members)
  }

  private struct HolderFacts: Sendable {
    var identity: String
    var state: String
    var errors: [String]
    var abilities: [String]
    var limitations: [String]
  }

  private var holderDevice: JSONValue {
    var errors: [String] = []
    var abilities: [String] = []
    var limitations: [String] = []
    do throws(InstrumentFailure) {
      let answer = try instruments.onHolder("the holder", within: Seconds(8)) { station throws(InstrumentError) in
        let found = try station.connect()
        return HolderFacts(
          identity: found.identity.description, state: station.state?.name ?? found.state.name,
          errors: try station.errors(), abilities: station.abilities.names, limitations: station.limitations)
      }
      if let answer {
        board.connected("holder", answer.identity, state: answer.state)
        (errors, abilities, limitations) = (answer.errors, answer.abilities, answer.limitations)
      }
    } catch { board.failed("holder", "\(error)") }
    return entry(
      "holder", connection: settings.holder?.connection ?? "", clock: holderClock,
      [
        "errors": .array(errors.map(JSONValue.string)), "state": .optional(board["holder"]?.state),
        "abilities": .array(abilities.map(JSONValue.string)), "warnings": .array(limitations.map(JSONValue.string)),
        "profile": .optional(settings.holder?.profile.kind?.rawValue),
      ])
  }

  private func entry(_ kind: String, connection: String, clock: DeviceClock, _ more: [String: JSONValue]) -> JSONValue {
    let known = board[kind]
    var members: [String: JSONValue] = [
      "kind": .string(kind), "model": .string(known?.model ?? ""), "identity": .string(known?.identity ?? ""),
      "connection": .string(connection), "connected": .bool(known?.isConnected ?? false),
      "error": .optional(known?.error), "clock": clockJSON(clock), "warnings": [], "errors": [],
    ]
    members.merge(more) { _, new in new }
    return .object(members)
  }

  private func clockJSON(_ clock: DeviceClock) -> JSONValue {
    guard let segment = clock.model()?.segments.last else { return .null }
    return [
      "offset_s": .number(Double(segment.referenceHost.nanoseconds - segment.referenceDevice) / 1e9),
      "drift_ppm": .number((segment.rate - 1) * 1e6), "bound_s": .number(segment.boundTo),
      "pairs": .integer(Int64(segment.pairs)), "method": .string(segment.method),
    ]
  }
}
