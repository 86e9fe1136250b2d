/// ISO 8601 in UTC.
package enum UTCTime {
  /// "2026-03-01T12:34:56.789Z" of nanoseconds since 1970-01-01T00:00:00Z (rounded down to milliseconds).
  package static func text(unixNanoseconds: Int64) -> String {
    let milliseconds = floorDivide(unixNanoseconds, 1_000_000)
    let seconds = floorDivide(milliseconds, 1000)
    let days = floorDivide(seconds, 86400)
    let time = seconds - days * 86400
    let (year, month, day) = civil(days)
    let date = "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
    let clock = "\(padded(time / 3600, 2)):\(padded(time / 60 % 60, 2)):\(padded(time % 60, 2))"
    return "\(date)T\(clock).\(padded(milliseconds - seconds * 1000, 3))Z"
  }

  /// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar. Years are counted from March
  /// in eras of 400 years = 146097 days, so that the leap day is the last of its year.
  private static func civil(_ days: Int64) -> (Int64, Int64, Int64) {
    let shifted = days + 719_468  // days from 0000-03-01 to 1970-01-01
    let era = floorDivide(shifted, 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
  }

  private static func floorDivide(_ a: Int64, _ b: Int64) -> Int64 { a >= 0 ? a / b : -((-a + b - 1) / b) }

  private static func padded(_ value: Int64, _ digits: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }
}
