package import Quantities

/// The kinds of holder there are (holder.md §1): what a configuration must and may say of each.
package enum HolderKind: String, CaseIterable, Sendable {
  /// A tip that a piezo brings to the sample.
  case probe
  /// A chip with three electrodes in a liquid.
  case liquidCell = "liquid-cell"
  /// A chip with a four-wire heater and bias contacts.
  case heatingChip = "heating-chip"
  /// A FIB lamella or thin film between two electrodes.
  case lamella
  /// A probe with a force sensor.
  case afm

  package var hasPiezo: Bool { self == .probe || self == .afm }
  package var hasHeater: Bool { self == .heatingChip }
  package var needsReference: Bool { self == .liquidCell }
  /// A probe touches with one tip; there is no third contact.
  package var allowsReference: Bool { self == .liquidCell || self == .heatingChip || self == .lamella }
  /// A field-effect gate on the lamella's chip.
  package var allowsGate: Bool { self == .lamella }
  /// The forces of an AFM probe are read.
  package var hasForce: Bool { self == .afm }
}

/// The four lines of a heating chip's heater.
package struct HeaterLines: Hashable, Sendable {
  package var forceHigh: Int
  package var forceLow: Int
  package var senseHigh: Int
  package var senseLow: Int

  package init(forceHigh: Int, forceLow: Int, senseHigh: Int, senseLow: Int) {
    self.forceHigh = forceHigh
    self.forceLow = forceLow
    self.senseHigh = senseHigh
    self.senseLow = senseLow
  }

  package var all: [Int] { [forceHigh, forceLow, senseHigh, senseLow] }

  var channels: [HolderChannel] {
    [
      HolderChannel(forceHigh, HolderChannel.Tap.heaterForceHigh),
      HolderChannel(forceLow, HolderChannel.Tap.heaterForceLow),
      HolderChannel(senseHigh, HolderChannel.Tap.heaterSenseHigh),
      HolderChannel(senseLow, HolderChannel.Tap.heaterSenseLow),
    ]
  }
}

/// What the laboratory says of its holder beyond where its electrodes are. Nil: not said.
package struct HolderProfile: Hashable, Sendable {
  package var kind: HolderKind?
  package var forbidden: [ForbiddenPair] = []
  /// Contacts are grounded in the safe state; only where no cell is mounted.
  package var groundsWhenSafe = false
  package var heaterLines: HeaterLines?
  package var chip: HeaterChip?
  /// K/s, when a command names none.
  package var heaterRamp = 100.0
  package var approach = ApproachSettings()
  /// Beyond it the holder raises its leakage bit.
  package var leakageLimit = Amperes(1e-10)

  package init() {}

  /// Pairs that a holder takes (a line of 256 bytes).
  package static let mostForbidden = 16

  /// What would short the cell whatever the laboratory says: both electrodes at one tap of a source, or the gate at one of
  /// theirs.
  package static func shorts(_ contacts: HolderContacts) -> [ForbiddenPair] {
    typealias Tap = HolderChannel.Tap
    let (w, c) = (contacts.working, contacts.counter)
    func pair(_ a: Int, _ tapA: Int, _ b: Int, _ tapB: Int) -> ForbiddenPair {
      ForbiddenPair(HolderChannel(a, tapA), HolderChannel(b, tapB))
    }
    var pairs = [Tap.working, Tap.counter, Tap.bias].map { pair(w, $0, c, $0) }
    pairs += [
      pair(w, Tap.ground, w, Tap.working), pair(w, Tap.working, w, Tap.bias), pair(c, Tap.counter, c, Tap.bias),
    ]
    guard let gate = contacts.gate else { return pairs }
    return pairs + [
      pair(w, Tap.working, gate, Tap.working), pair(c, Tap.counter, gate, Tap.counter),
      pair(w, Tap.bias, gate, Tap.bias), pair(c, Tap.bias, gate, Tap.bias), pair(gate, Tap.ground, gate, Tap.bias),
    ]
  }
}

/// How a probe is brought to its sample (holder.md §4.5).
package struct ApproachSettings: Hashable, Sendable {
  package var axis = PiezoAxis.z
  /// Towards the sample: +1 when positive voltages and steps go there.
  package var direction = 1.0
  package var bias = Volts(0.05)
  /// A beyond the baseline that makes a contact.
  package var threshold = Amperes(5e-11)
  /// One reading of the detection, and how many in a row.
  package var dwell = Seconds(1e-3)
  package var count = 3
  /// V on the fine piezo.
  package var limits = Volts(-150)...Volts(150)
  /// m the tip moves for each volt of fine motion.
  package var travelPerVolt = 5e-9
  /// m the tip may move in one reading of the detection.
  package var finestStep = Metres(1e-9)
  package var amplitude = Volts(60)
  package var frequency = Hertz(100)
  /// m of one coarse step at that amplitude.
  package var stepLength = Metres(480e-9)
  package var mostSteps = 200
  package var longest = Seconds(600)

  package init() {}

  /// A coarse step that goes further could cross the gap unseen (holder.md §4.5).
  package static let coarseShare = 0.7
  /// m the fine piezo covers.
  package var fineRange: Metres { Metres((limits.upperBound - limits.lowerBound).value * travelPerVolt) }
  package var isStepShortEnough: Bool { stepLength <= fineRange * Self.coarseShare }

  /// V/s at which the tip moves no more than the finest step in one reading.
  package var extendSlew: Double { finestStep.value / dwell.value / travelPerVolt }
  /// Away from the sample nothing has to be watched for.
  package static let retractSlew = 2000.0

  var retracted: Volts { direction > 0 ? limits.lowerBound : limits.upperBound }
  var extended: Volts { direction > 0 ? limits.upperBound : limits.lowerBound }
}
