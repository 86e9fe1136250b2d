import JSON
import Quantities

/// Results of the methods `beam.…` as a person reads them.
enum BeamText {
  /// "2.50 ± 0.05 e/A^2/s, calibrated with camera 12 min ago".
  static func line(_ beam: JSONValue?) -> String {
    guard let beam, let rate = rate(beam) else { return "not known; measure it: insituctl beam calibrate" }
    guard beam["source"]?.string == "calibration" else { return "\(rate), as configured" }
    let camera = beam["camera"]?.string ?? "?"
    return "\(rate), calibrated with \(camera) \(Wording.seconds(beam["age_s"])) ago"
  }

  static func show(_ result: JSONValue) -> [String] {
    var lines = ["Dose rate: \(line(result["beam"]))"]
    if let calibration = result["calibration"], !calibration.isNull {
      lines.append("  at \(Wording.localTime(calibration["calibrated"])); \(measured(calibration))")
      lines.append("  standard uncertainty: \(parts(calibration))")
      if let configured = result["configured"].flatMap(rate) { lines.append("  configured: \(configured)") }
    }
    return lines + warnings(result["calibration"])
  }

  static func calibrated(_ result: JSONValue) -> [String] {
    [
      "Dose rate: \(rate(result) ?? Wording.nothing)", "  \(measured(result))",
      "  standard uncertainty: \(parts(result))",
    ] + warnings(result)
  }

  static func forgotten(_ result: JSONValue) -> [String] {
    let first = result["forgotten"]?.bool == true ? "The calibration is forgotten." : "There was no calibration."
    return [first, "Dose rate: \(line(result["beam"]))"]
  }

  private static func rate(_ json: JSONValue) -> String? {
    guard let value = json["rate_e_per_A2_s"]?.double, let uncertainty = json["uncertainty_e_per_A2_s"]?.double else {
      return nil
    }
    return "\(UncertainValue(value, uncertainty).description) e/A^2/s"
  }

  /// "2083 frames of 2.40 ms, 2.400 counts per pixel, scatter 0.25 %".
  private static func measured(_ calibration: JSONValue) -> String {
    let mean = calibration["mean_counts"]?.double.map { fixed($0, decimals: 3) } ?? Wording.nothing
    let frames = "\(Wording.count(calibration["frames"])) frames of \(Wording.seconds(calibration["exposure_s"]))"
    return "\(frames), \(mean) counts per pixel, scatter \(share(calibration["scatter"]))"
  }

  private static func parts(_ calibration: JSONValue) -> String {
    let parts = calibration["parts"]
    var words = [
      "counting \(share(parts?["statistical"]))", "counts per electron \(share(parts?["counts_per_electron"]))",
      "pixel size \(share(parts?["pixel_size"]))",
    ]
    if let drift = parts?["drift"], drift.double ?? 0 > 0 { words.append("drift \(share(drift))") }
    return words.joined(separator: ", ")
  }

  private static func share(_ value: JSONValue?) -> String {
    value?.double.map { "\(fixed($0 * 100, decimals: 3)) %" } ?? Wording.nothing
  }

  private static func warnings(_ calibration: JSONValue?) -> [String] {
    (calibration?["warnings"]?.array ?? []).compactMap(\.string).map { "warning: \($0)" }
  }
}
