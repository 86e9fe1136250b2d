import Linux
import Quantities

/// What the twin wrote down of what really happened (`insitu-twin --truth`).
struct Truth {
  var directory: String

  struct Event {
    var time: MonotonicTime
    var text: String
  }

  struct Frame {
    var start: Int64
    var stop: Int64
    var voltage: Double
    var current: Double
    var charge: Double
    var wasSent: Bool
  }

  struct FrameKey: Hashable {
    var series: Int64
    var number: Int64
  }

  struct Clocks {
    var host: Int64
    /// By the daemon's word for the device.
    var device: [String: Int64]
  }

  struct CellPoint {
    var time: Int64
    var voltage: Double
    var current: Double
    var charge: Double
  }

  var events: [Event] {
    lines("events.csv").compactMap { line in
      guard let comma = line.firstIndex(of: UInt8(ascii: ",")), let time = Int64(text(line[..<comma])) else {
        return nil
      }
      return Event(time: MonotonicTime(nanoseconds: time), text: text(line[(comma + 1)...]))
    }
  }

  var frames: [FrameKey: Frame] {
    var all: [FrameKey: Frame] = [:]
    for row in rows("frames.csv", columns: 8) {
      all[FrameKey(series: Int64(row[0])!, number: Int64(row[1])!)] = Frame(
        start: Int64(row[2])!, stop: Int64(row[3])!, voltage: Double(row[4])!, current: Double(row[5])!,
        charge: Double(row[6])!, wasSent: row[7] == "1")
    }
    return all
  }

  var clocks: [Clocks] {
    rows("clocks.csv", columns: 4).map { row in
      Clocks(
        host: Int64(row[0])!,
        device: ["potentiostat": Int64(row[1])!, "holder": Int64(row[2])!, "camera": Int64(row[3])!])
    }
  }

  /// Voltage, current and charge at the terminals, each millisecond while the contacts are closed.
  var cell: [CellPoint] {
    rows("cell.csv", columns: 4).map { row in
      CellPoint(time: Int64(row[0])!, voltage: Double(row[1])!, current: Double(row[2])!, charge: Double(row[3])!)
    }
  }

  /// Waits for a line of the truth; its writer is a quarter of a second behind.
  func event(within limit: Seconds = Seconds(5), after time: MonotonicTime? = nil, containing words: String...) throws
    -> Event
  {
    try eventually(within: limit, "“\(words.joined(separator: " … "))” in the twin's events") {
      events.first { event in
        event.time.nanoseconds >= time?.nanoseconds ?? .min && words.allSatisfy { event.text.contains($0) }
      }
    }
  }

  private func lines(_ name: String) -> [ArraySlice<UInt8>] {
    let bytes = (try? FileSystem.read(directory + "/" + name, limit: 64 << 20)) ?? []
    // The last line may still be on its way.
    guard let end = bytes.lastIndex(of: 10) else { return [] }
    return Array(bytes[..<end].split(separator: 10).dropFirst())
  }

  private func rows(_ name: String, columns: Int) -> [[String]] {
    lines(name).map { $0.split(separator: UInt8(ascii: ",")).map(text) }.filter { $0.count == columns }
  }

  private func text(_ bytes: ArraySlice<UInt8>) -> String {
    String(decoding: bytes.filter { $0 != UInt8(ascii: "\"") }, as: UTF8.self)
  }
}
