/// Columns of text, aligned.
struct TextTable {
  var rows: [[String]] = []
  /// Columns whose text stands at the right.
  var rightAligned: Set<Int> = []

  /// The lines, without blanks at their ends.
  var lines: [String] {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
    return rows.map { row in
      var line = ""
      for (column, text) in row.enumerated() {
        if column > 0 { line += "  " }
        let blanks = String(repeating: " ", count: widths[column] - text.count)
        line += rightAligned.contains(column) ? blanks + text : text + blanks
      }
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}
