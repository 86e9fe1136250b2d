import Glibc
import JSON
import Quantities

/// Numbers and times as people read them; "–" where there is none.
enum Wording {
  static let nothing = "–"

  static func volts(_ value: JSONValue?) -> String {
    value?.double.map { Volts($0).formatted(digits: 4) } ?? nothing
  }
  /// Three significant digits: "2.00 pA".
  static func amperes(_ value: JSONValue?) -> String { value?.double.map { Amperes($0).description } ?? nothing }
  static func coulombs(_ value: JSONValue?) -> String { value?.double.map { Coulombs($0).description } ?? nothing }
  static func seconds(_ value: JSONValue?) -> String { value?.double.map { Seconds($0).description } ?? nothing }
  /// ", skipped 10, in sums 5" where frames were left out by choice; nothing where none was.
  static func chosen(_ frames: JSONValue?) -> String {
    var text = ""
    for (name, key) in [("skipped", "skipped"), ("in sums", "merged")] {
      if let count = frames?[key]?.integer, count > 0 { text += ", \(name) \(count)" }
    }
    return text
  }

  static func count(_ value: JSONValue?) -> String { value?.integer.map { "\($0)" } ?? nothing }

  /// "12.4 s", one decimal, for lines that are redrawn and must not jump.
  static func ticking(_ value: JSONValue?) -> String {
    guard let seconds = value?.double else { return nothing }
    return seconds < 600 ? fixed(seconds, decimals: 1) + " s" : Seconds(seconds).description
  }

  /// "waiting 2.4 s of at most 20.0 s, the cell is open: potentiostat: …"; nil while a run waits for no instrument.
  static func waiting(_ status: JSONValue) -> String? {
    guard status["state"]?.string == "waiting" else { return nil }
    guard let waiting = status["run"]?["waiting"], !waiting.isNull else { return "waiting for an instrument" }
    return "waiting \(ticking(waiting["elapsed_s"])) of at most \(seconds(waiting["limit_s"])), the cell is open: "
      + (waiting["reason"]?.string ?? "an instrument is unplugged")
  }

  /// "400.0", frames per second.
  static func rate(_ value: JSONValue?) -> String { value?.double.map { fixed($0, decimals: 1) } ?? nothing }

  /// "0.025 %" of a share.
  static func percent(_ share: Double) -> String { "\((share * 1e6).rounded() / 1e4) %" }

  /// "5.87 GB"; decimal prefixes, as disks are sold.
  static func bytes(_ value: JSONValue?) -> String {
    guard let count = value?.double else { return nothing }
    for (size, unit) in [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")] where count >= size {
      let amount = count / size
      return fixed(amount, decimals: amount < 10 ? 2 : amount < 100 ? 1 : 0) + " " + unit
    }
    return fixed(count, decimals: 0) + " B"
  }

  /// ISO 8601 in UTC, as JSON has it, in local time: "2026-03-01 14:05:09".
  static func localTime(_ value: JSONValue?) -> String {
    guard let text = value?.string else { return nothing }
    let numbers = text.prefix(19).split(whereSeparator: { !$0.isNumber }).compactMap { Int32($0) }
    guard numbers.count == 6, text.hasSuffix("Z") else { return text }
    var broken = unsafe tm()
    unsafe broken.tm_year = numbers[0] - 1900
    unsafe broken.tm_mon = numbers[1] - 1
    unsafe broken.tm_mday = numbers[2]
    unsafe broken.tm_hour = numbers[3]
    unsafe broken.tm_min = numbers[4]
    unsafe broken.tm_sec = numbers[5]
    return localTime(unixSeconds: unsafe timegm(&broken))
  }

  static func localTime(unixSeconds: Int, format: String = "%Y-%m-%d %H:%M:%S") -> String {
    var seconds = time_t(unixSeconds)
    var broken = unsafe tm()
    unsafe localtime_r(&seconds, &broken)
    var text = [CChar](repeating: 0, count: 64)
    let length = unsafe strftime(&text, text.count, format, &broken)
    return String(decoding: text[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// "lost 3, ring full 2", from the members of an object of counts; nil when all are 0.
  static func causes(_ object: JSONValue?) -> String? {
    let counts = (object?.object ?? [:]).filter { ($0.value.integer ?? 0) != 0 }
    guard !counts.isEmpty else { return nil }
    return counts.sorted { $0.key < $1.key }.map { "\($0.key) \(count($0.value))" }.joined(separator: ", ")
  }
}
