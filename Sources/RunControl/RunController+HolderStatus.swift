import ControlProtocol
import HolderDriver
import JSON
import Linux
import Quantities
import USB

/// What `insituctl holder status` shows.
extension RunController {
  func motionJSON(_ motion: MotionProgress) -> JSONValue {
    [
      "phase": .string(motion.phase.rawValue), "over": .bool(motion.phase.isOver),
      "steps": .integer(Int64(motion.steps)), "fine_V": .number(motion.fine),
      "current_A": .optional(motion.current?.value), "resistance_Ohm": .optional(motion.resistance?.value),
      "message": .string(motion.message),
    ]
  }

  private struct HolderView: Sendable {
    var identity: String
    var state: HolderState?
    var abilities: [String]
    var limitations: [String]
    var channels: [HolderChannel]
    var readings: [HolderReading]
    var motion: MotionProgress?
    var isMoving: Bool
  }

  func holderStatus() throws(ControlError) -> JSONValue {
    let view = try reach("the holder") { station throws(InstrumentError) in
      HolderView(
        identity: station.identity?.description ?? "", state: station.state, abilities: station.abilities.names,
        limitations: station.limitations, channels: try station.closedChannels(), readings: station.readings,
        motion: station.lastMotion, isMoving: station.isMoving)
    }
    return [
      "model": .optional(settings.holder?.model), "identity": .string(view.identity),
      "profile": .optional(settings.holder?.profile.kind?.rawValue), "state": .optional(view.state?.name),
      "safe_cause": .optional(view.state?.safeCause), "contacts_closed": .bool(view.state?.contactsClosed ?? false),
      "channels": .string(HolderChannel.text(view.channels)),
      "abilities": .array(view.abilities.map(JSONValue.string)),
      "limitations": .array(view.limitations.map(JSONValue.string)),
      "readings": .array(
        view.readings.map {
          ["quantity": .string($0.quantity), "value": .number($0.value), "unit": .string($0.unit)]
        }),
      "motion": view.motion.map(motionJSON) ?? .null, "moving": .bool(view.isMoving),
    ]
  }
}
