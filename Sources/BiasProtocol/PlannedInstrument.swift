package import JSON
package import Quantities

/// The potentiostat that a protocol is held against, as data.
package struct PlannedInstrument: Hashable, Sendable {
  package struct Range: Hashable, Sendable {
    /// Full scale.
    package var full: Amperes
    /// Smallest difference that a reading tells.
    package var resolution: Amperes
    /// Largest error of a reading of no current, by the data sheet.
    package var accuracy: Amperes

    package init(full: Amperes, resolution: Amperes, accuracy: Amperes) {
      self.full = full
      self.resolution = resolution
      self.accuracy = accuracy
    }
  }

  package var model: String
  /// Smallest first.
  package var ranges: [Range]
  /// False: it has no current source.
  package var holdsCurrent: Bool
  /// Full scale of the lowest range that holds a current: some sources begin higher than their meters. Nil: the lowest.
  package var lowestHolding: Amperes?
  package var shortestPeriod: Seconds
  /// What it can apply; nil: what limits there are lie beyond all protocols.
  package var voltages: ClosedRange<Volts>?

  package init(
    model: String, ranges: [Range], holdsCurrent: Bool = true, lowestHolding: Amperes? = nil,
    shortestPeriod: Seconds = .zero, voltages: ClosedRange<Volts>? = nil
  ) {
    self.model = model
    self.ranges = ranges
    self.holdsCurrent = holdsCurrent
    self.lowestHolding = lowestHolding
    self.shortestPeriod = shortestPeriod
    self.voltages = voltages
  }

  /// The range that is used when `wanted` is asked for; nil when it is beyond the largest.
  package func range(for wanted: Amperes) -> Range? { ranges.first { $0.full >= wanted } }

  /// The range on which a current is held, and measured meanwhile, when `wanted` is asked for.
  package func rangeHolding(_ wanted: Amperes) -> Range? { range(for: max(wanted, lowestHolding ?? wanted)) }

  package var json: JSONValue {
    [
      "model": .string(model), "holds_current": .bool(holdsCurrent),
      "lowest_holding_A": .optional(lowestHolding?.value), "shortest_period_s": .number(shortestPeriod.value),
      "lowest_V": .optional(voltages?.lowerBound.value), "highest_V": .optional(voltages?.upperBound.value),
      "ranges": .array(
        ranges.map {
          [
            "range_A": .number($0.full.value), "resolution_A": .number($0.resolution.value),
            "accuracy_A": .number($0.accuracy.value),
          ]
        }),
    ]
  }

  /// Reads what `json` gives; nil when it is something else.
  package init?(json: JSONValue) {
    guard let model = json["model"]?.string, let entries = json["ranges"]?.array, !entries.isEmpty else { return nil }
    var ranges: [Range] = []
    for entry in entries {
      guard let full = entry["range_A"]?.double, let resolution = entry["resolution_A"]?.double,
        let accuracy = entry["accuracy_A"]?.double
      else { return nil }
      ranges.append(Range(full: Amperes(full), resolution: Amperes(resolution), accuracy: Amperes(accuracy)))
    }
    var voltages: ClosedRange<Volts>?
    if let low = json["lowest_V"]?.double, let high = json["highest_V"]?.double, low <= high {
      voltages = Volts(low)...Volts(high)
    }
    self.init(
      model: model, ranges: ranges, holdsCurrent: json["holds_current"]?.bool ?? true,
      lowestHolding: json["lowest_holding_A"]?.double.map { Amperes($0) },
      shortestPeriod: Seconds(json["shortest_period_s"]?.double ?? 0), voltages: voltages)
  }
}

extension CompiledProtocol {
  /// The current range that the run begins with: of a protocol that names none, what holds its limits.
  package var startRange: Amperes {
    range ?? max(limits.current.upperBound.magnitude, limits.current.lowerBound.magnitude)
  }

  /// What the instrument cannot do at all.
  package func hindrances(on instrument: PlannedInstrument) -> [ProtocolError] {
    var errors: [ProtocolError] = []
    if samplePeriod < instrument.shortestPeriod {
      errors.append(
        ProtocolError(
          line: 0, column: 0, "acquire.sample \(samplePeriod.exactText) is too short for the \(instrument.model)",
          remedy: "its shortest sample period is \(instrument.shortestPeriod.exactText)"))
    }
    if let largest = instrument.ranges.last?.full {
      for wanted in Set([startRange] + steps.compactMap(\.range)).sorted() where wanted > largest {
        errors.append(
          ProtocolError(
            line: 0, column: 0,
            "the current range \(wanted.exactText) is beyond the \(instrument.model)'s largest, \(largest.exactText)",
            remedy: "write a smaller range"))
      }
    }
    if !instrument.holdsCurrent, let step = steps.first(where: \.holdsCurrent) {
      errors.append(
        ProtocolError(
          line: step.line, column: 1,
          "“\(step.sentence)” needs a current source, and the \(instrument.model) has none",
          remedy: "use Hold and Rest, or an instrument with a current source"))
    }
    for step in steps {
      guard case .voltage(let volts) = step.action, let reach = instrument.voltages, !reach.contains(volts) else {
        continue
      }
      errors.append(
        ProtocolError(
          line: step.line, column: 1,
          "“\(step.sentence)” is beyond what the \(instrument.model) can apply, \(reach.lowerBound.exactText) …"
            + " \(reach.upperBound.exactText)", remedy: "write a voltage within it, or use another instrument"))
      break
    }
    return errors
  }

  /// What the instrument serves otherwise than it is asked for, and what it cannot be trusted with.
  package func doubts(on instrument: PlannedInstrument) -> [String] {
    var texts: [String] = []
    var seen: Set<String> = []
    func add(_ text: String) { if seen.insert(text).inserted { texts.append(text) } }
    for wanted in [startRange] + steps.compactMap(\.range) {
      guard let smallest = instrument.ranges.first?.full, wanted < smallest else { continue }
      add(
        "range \(wanted.exactText) is asked for; the smallest of the \(instrument.model) is \(smallest.exactText), which is"
          + " used")
    }
    for step in steps where texts.count < Plan.maximumWarnings {
      guard case .current(let current) = step.action, current != .zero,
        let range = instrument.rangeHolding(step.range ?? startRange)
      else { continue }
      // What was asked for is not what the current is held on: a smaller range would not help.
      let isLowest = range.full == instrument.rangeHolding(.zero)?.full
      let place = step.line > 0 ? "line \(step.line): " : ""
      if current.magnitude < range.resolution * 10 {
        add(
          "\(place)\(current.magnitude.exactText) is less than 10 times the resolution of \(range.resolution.exactText) on"
            + " the \(range.full.exactText) range of the \(instrument.model); "
            + (isLowest ? "it holds currents on no smaller one" : "choose a smaller range"))
      }
      if current.magnitude < range.accuracy {
        add(
          "\(place)\(current.magnitude.exactText) is below what the \(instrument.model) can be trusted with on its"
            + " \(range.full.exactText) range (± \(range.accuracy.exactText) by the data sheet); the zero that is read before"
            + " the run is subtracted, what drifts after it is not known")
      }
    }
    return texts
  }
}

extension Step {
  fileprivate var holdsCurrent: Bool {
    if case .current(let current) = action { current != .zero } else { false }
  }
}
