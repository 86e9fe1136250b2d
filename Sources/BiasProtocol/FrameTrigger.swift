package import Quantities
import YAML

/// Frames around the instants at which a statistic of a frame crosses a threshold are written.
package struct FrameTrigger: Hashable, Sendable, CustomStringConvertible {
  /// What is counted in every frame; counts, and pixels for `saturated`.
  package enum Statistic: Hashable, Sendable, CustomStringConvertible {
    case mean, minimum, maximum, sum, saturated, change
    /// The mean in a region of the camera's configuration, from 1.
    case region(Int)

    package static let regions = 1...16
    private static let names: [String: Statistic] = [
      "mean": .mean, "minimum": .minimum, "maximum": .maximum, "sum": .sum, "saturated": .saturated,
      "change": .change,
    ]
    static let words = "mean, minimum, maximum, sum, saturated, change, region 1 … region \(regions.upperBound)"
    static var spellings: [String] { names.keys.sorted() + ["region"] }

    /// Reads "mean" or "region 3"; nil for anything else.
    init?(name: String) {
      if let known = Self.names[name] {
        self = known
        return
      }
      let words = name.split(separator: " ")
      guard words.count == 2, words[0] == "region", let number = Int(words[1]), Self.regions.contains(number) else {
        return nil
      }
      self = .region(number)
    }

    /// "mean", "region 3".
    package var description: String {
      if case .region(let number) = self {
        "region \(number)"
      } else {
        Self.names.first { $0.value == self }?.key ?? ""
      }
    }
  }

  /// No camera's ring holds more.
  package static let maximumBefore = Seconds(3600)
  package static let maximumAfter = CompiledProtocol.maximumWait

  package var statistic: Statistic
  package var comparison: StopCondition.Comparison
  package var threshold: Double
  /// What came so long before is written where the ring still holds it.
  package var before: Seconds
  package var after: Seconds

  package init(
    _ statistic: Statistic, _ comparison: StopCondition.Comparison, _ threshold: Double, before: Seconds, after: Seconds
  ) {
    self.statistic = statistic
    self.comparison = comparison
    self.threshold = threshold
    self.before = before
    self.after = after
  }

  package func isMet(by value: Double) -> Bool {
    value.isFinite && (comparison == .above ? value > threshold : value < threshold)
  }

  /// "when change > 0.5".
  package var description: String {
    "when \(statistic) \(comparison == .above ? ">" : "<") \(ShortNumber.text(threshold))"
  }

  /// Reads "change > 0.5".
  static func condition(
    parsing text: String
  ) throws(QuantityError) -> (statistic: Statistic, comparison: StopCondition.Comparison, threshold: Double) {
    guard let sign = text.firstIndex(where: { $0 == ">" || $0 == "<" }) else {
      throw QuantityError("“\(text)” compares nothing; write for example “change > 0.5”")
    }
    let name = text[..<sign].lowercased().split(whereSeparator: \.isWhitespace).joined(separator: " ")
    let number = text[text.index(after: sign)...].split(whereSeparator: \.isWhitespace).joined(separator: " ")
    guard let statistic = Statistic(name: name) else {
      if name.hasPrefix("region") {
        let last = Statistic.regions.upperBound
        throw QuantityError("“\(name)” is not a region; write “region 1” … “region \(last)”")
      }
      let meant = Spelling.suggestion(for: name, among: Statistic.spellings)
      let hint = meant.map { "did you mean “\($0)”?" } ?? "known here: \(Statistic.words)"
      throw QuantityError(
        name.isEmpty ? "“\(text)” names no statistic; \(hint)" : "“\(name)” is not a statistic of a frame; \(hint)")
    }
    let unit = statistic == .saturated ? "pixels" : "counts"
    guard let threshold = Double(number), threshold.isFinite else {
      throw QuantityError(
        number.isEmpty
          ? "“\(text)” has no threshold; write for example “\(name) > 10”"
          : "“\(number)” is not a plain number (of \(unit)); write for example “\(name) > 10”")
    }
    return (statistic, text[sign] == ">" ? .above : .below, threshold)
  }
}
