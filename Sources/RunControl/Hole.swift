import Alignment
import JSON
import Linux
import Quantities

/// The last moment up to which a run's current was measured.
struct LastReading: Hashable, Sendable {
  /// The end of its aperture.
  var end: MonotonicTime
  /// Zero with the circuit open.
  var current: Amperes
}

/// A part of a run in which nothing was measured, from the end of the last reading on: that an instrument was lost is
/// noticed only later.
struct Hole: Hashable, Sendable {
  /// Nil when nothing had been measured.
  var lastKnown: LastReading?
  var noticed: MonotonicTime
  /// From here on no current flowed.
  var opened: MonotonicTime

  /// Nothing is known from here on.
  var begins: MonotonicTime { min(lastKnown?.end ?? noticed, noticed) }

  /// How much charge may have flowed unmeasured until the cell was open: as if the last known current had gone on.
  var unknownCharge: Coulombs {
    guard let lastKnown else { return .zero }
    return Coulombs(abs(lastKnown.current.value) * max(0, (opened - lastKnown.end).value))
  }

  var details: [String: JSONValue] {
    [
      "last_known_raw_ns": .optional(lastKnown?.end.nanoseconds), "began_raw_ns": .integer(noticed.nanoseconds),
      "opened_raw_ns": .integer(opened.nanoseconds),
    ]
  }
}

extension Sample {
  /// The middle of its aperture, by the instrument's own clock. Until there is a model of it: half an aperture before arrival.
  func centre(by clock: ClockModel?) -> MonotonicTime {
    clock?.host(atDevice: deviceNanoseconds, arrival: arrival)?.time ?? arrival - aperture * 0.5
  }
}
