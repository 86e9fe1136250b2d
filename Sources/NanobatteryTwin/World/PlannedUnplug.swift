package import Quantities

/// A cable that is pulled by plan, and perhaps put back.
package struct PlannedUnplug: Equatable, Sendable {
  package enum Instrument: String, CaseIterable, Sendable { case potentiostat, holder }
  package enum Moment: Equatable, Sendable {
    case afterStart(Seconds)
    /// Counted from the first time the potentiostat's output goes on.
    case afterOutputOn(Seconds)
  }

  package var instrument: Instrument
  package var moment: Moment
  package var replugAfter: Seconds?

  package init(instrument: Instrument, moment: Moment, replugAfter: Seconds? = nil) {
    self.instrument = instrument
    self.moment = moment
    self.replugAfter = replugAfter
  }
}

/// Says when each planned cable goes and comes back; each once.
package struct UnplugSchedule: Sendable {
  package enum Action: Equatable, Sendable {
    case unplug(PlannedUnplug.Instrument)
    case plug(PlannedUnplug.Instrument)
  }

  private struct Item {
    var plan: PlannedUnplug
    var unplugAt: MonotonicTime?
    var isUnplugged = false
  }

  private var items: [Item]
  private var outputSeen: MonotonicTime?

  package init(_ plans: [PlannedUnplug], start: MonotonicTime) {
    items = plans.map { plan in
      switch plan.moment {
      case .afterStart(let span): Item(plan: plan, unplugAt: start + span)
      case .afterOutputOn: Item(plan: plan)
      }
    }
  }

  /// What is to be done at an instant, in order of the plan.
  /// - Parameter outputOnSince: since when the potentiostat's output has been on, nil while it is off.
  package mutating func due(at now: MonotonicTime, outputOnSince: MonotonicTime?) -> [Action] {
    if outputSeen == nil { outputSeen = outputOnSince }
    var actions: [Action] = []
    for index in items.indices.reversed() {
      if items[index].unplugAt == nil, let outputSeen, case .afterOutputOn(let span) = items[index].plan.moment {
        items[index].unplugAt = outputSeen + span
      }
      guard let moment = items[index].unplugAt else { continue }
      let plan = items[index].plan
      if !items[index].isUnplugged, now >= moment {
        actions.insert(.unplug(plan.instrument), at: 0)
        items[index].isUnplugged = true
      }
      guard items[index].isUnplugged else { continue }
      guard let replug = plan.replugAfter else {
        items.remove(at: index)
        continue
      }
      if now >= moment + replug {
        actions.append(.plug(plan.instrument))
        items.remove(at: index)
      }
    }
    return actions
  }
}
