import Quantities

/// One line of the result: a figure beside its yardstick of the same run.
struct ResultRow {
  var what: String
  var figure: String
  /// Least and most of the repetitions, or a high percentile.
  var spread = ""
  /// What it is held against, with its own figure.
  var yardstick = ""
  var ratio = ""
  /// The budget of the design, where it names one.
  var budget = ""
}

/// The one table that is printed at the end, in Markdown, so that it can go into docs/performance.md as it is.
struct ResultTable {
  private(set) var rows: [ResultRow] = []
  private(set) var remarks: [String] = []

  mutating func add(_ row: ResultRow) { rows.append(row) }
  mutating func remark(_ text: String) { remarks.append(text) }

  var text: String {
    let head = ["measured", "median", "spread", "yardstick", "ratio", "budget"]
    let cells = [head] + rows.map { [$0.what, $0.figure, $0.spread, $0.yardstick, $0.ratio, $0.budget] }
    let widths = head.indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
    func line(_ row: [String]) -> String {
      "| "
        + zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: " | ") + " |"
    }
    let rule = "|" + widths.map { String(repeating: "-", count: $0 + 2) }.joined(separator: "|") + "|"
    let table = ([line(head), rule] + cells.dropFirst().map(line)).joined(separator: "\n")
    return ([table] + remarks.map { "* " + $0 }).joined(separator: "\n\n")
  }
}

/// "123 us".
func time(_ seconds: Double) -> String { Seconds(seconds).formatted(digits: 3) }

/// "1 us … 3 us".
func times(_ spread: Spread) -> String { "\(time(spread.least)) … \(time(spread.most))" }

/// Three digits or so: "0.831", "12.4", "104000".
func plain(_ value: Double) -> String {
  guard value.isFinite else { return "–" }
  let size = abs(value)
  return fixed(value, decimals: size < 1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0)
}

/// "83.9 %".
func share(_ value: Double) -> String { plain(value * 100) + " %" }

/// "1230 MB/s".
func rate(_ bytesPerSecond: Double) -> String { "\(plain(bytesPerSecond / 1e6)) MB/s" }
