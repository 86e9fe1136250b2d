/// A line of the holder at a tap: "1!2" is line 1 at tap 2 (holder.md §4.1).
package struct HolderChannel: Hashable, Comparable, Sendable, CustomStringConvertible {
  package static let lines = 1...8
  package static let taps = 0...9

  /// What the taps are.
  package enum Tap {
    package static let ground = 0
    package static let working = 1
    package static let counter = 2
    package static let sense = 3
    package static let bias = 4
    package static let meter = 5
    package static let heaterForceHigh = 6
    package static let heaterForceLow = 7
    package static let heaterSenseHigh = 8
    package static let heaterSenseLow = 9
    /// From these current can reach the cell.
    static let cell = 1...5
  }

  package var line: Int
  package var tap: Int

  package init(_ line: Int, _ tap: Int) {
    self.line = line
    self.tap = tap
  }

  package var description: String { "\(line)!\(tap)" }
  package static func < (a: Self, b: Self) -> Bool { (a.line, a.tap) < (b.line, b.tap) }

  /// Nil when the text is no channel, or one that does not exist.
  package init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "!", omittingEmptySubsequences: false)
    guard parts.count == 2, let line = Self.number(parts[0]), let tap = Self.number(parts[1]),
      Self.lines.contains(line), Self.taps.contains(tap)
    else { return nil }
    self.init(line, tap)
  }

  private static func number(_ text: some StringProtocol) -> Int? { Int(String(text.filter { $0 != " " })) }

  /// Reads "(@1!1,2!2)" and ranges within a tap, "(@1!0:8!0)"; the parentheses may be left out. Nil when it is no list.
  package static func list(_ text: String) -> [HolderChannel]? {
    var inside = text[...]
    if inside.hasPrefix("(@"), inside.hasSuffix(")") { inside = inside.dropFirst(2).dropLast() }
    guard !inside.isEmpty else { return [] }
    var channels: [HolderChannel] = []
    for item in inside.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = item.split(separator: ":", omittingEmptySubsequences: false).map { HolderChannel($0) }
      guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil, first.tap == last.tap,
        first.line <= last.line
      else { return nil }
      channels += (first.line...last.line).map { HolderChannel($0, first.tap) }
    }
    return channels
  }

  package static func text(_ channels: [HolderChannel]) -> String {
    "(@\(channels.map(\.description).joined(separator: ",")))"
  }
}

/// Two channels that must never be closed together.
package struct ForbiddenPair: Hashable, Sendable, CustomStringConvertible {
  package var a: HolderChannel
  package var b: HolderChannel

  package init(_ a: HolderChannel, _ b: HolderChannel) {
    self.a = a
    self.b = b
  }

  /// Reads "1!1|2!1".
  package init?(_ text: String) {
    let ends = text.split(separator: "|", omittingEmptySubsequences: false).map { HolderChannel($0) }
    guard ends.count == 2, let a = ends[0], let b = ends[1], a != b else { return nil }
    self.init(a, b)
  }

  package var description: String { "\(a)|\(b)" }
}
