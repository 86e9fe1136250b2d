package import Alignment
package import JSON
package import Quantities
import RunStore

/// What a beam on vacuum was measured to be, and from what.
package struct BeamCalibration: Equatable, Sendable {
  /// Relative standard uncertainties that add in squares.
  package struct Parts: Equatable, Sendable {
    package var statistical: Double
    package var countsPerElectron: Double
    /// Of the pixel's area: twice that of its side.
    package var pixelSize: Double
    /// 0 where the scatter of the frames explains what the halves differ by.
    package var drift: Double

    package var total: Double {
      (statistical * statistical + countsPerElectron * countsPerElectron + pixelSize * pixelSize + drift * drift)
        .squareRoot()
    }
  }

  /// e⁻/Å²/s.
  package var rate: UncertainValue
  package var camera: String
  /// When it ended.
  package var unixNanoseconds: Int64
  package var frames: Int
  /// Of one frame, in the mean.
  package var exposure: Seconds
  /// Counts per pixel and frame.
  package var meanCounts: Double
  /// Standard deviation of the frames' rates, as a share.
  package var scatter: Double
  /// Second half less first, as a share.
  package var drift: Double
  package var hasDrifted: Bool
  package var parts: Parts
  package var dosimetry: FrameDosimetry

  package var doseRate: DoseRate {
    DoseRate(rate, from: .calibration(camera: camera, unixNanoseconds: unixNanoseconds))
  }

  /// What whoever relies on it should know.
  package var warnings: [String] {
    guard hasDrifted else { return [] }
    let percent = fixed(drift * 100, decimals: 2)
    return [
      "the beam changed by \(percent) % from the first to the second half, more than the frames scatter; let it settle, "
        + "and calibrate again"
    ]
  }
}

extension BeamCalibration {
  /// As it is answered and stored.
  package var json: JSONValue {
    [
      "rate_e_per_A2_s": .number(rate.value), "uncertainty_e_per_A2_s": .number(rate.uncertainty),
      "camera": .string(camera), "t_unix_ns": .integer(unixNanoseconds),
      "calibrated": .string(UTCTime.text(unixNanoseconds: unixNanoseconds)), "frames": .integer(Int64(frames)),
      "exposure_s": .number(exposure.value), "mean_counts": .number(meanCounts), "scatter": .number(scatter),
      "drift": .number(drift), "has_drifted": .bool(hasDrifted),
      "parts": [
        "statistical": .number(parts.statistical), "counts_per_electron": .number(parts.countsPerElectron),
        "pixel_size": .number(parts.pixelSize), "drift": .number(parts.drift),
      ],
      "counts_per_electron": Self.json(dosimetry.countsPerElectron),
      "pixel_size_m": Self.json(dosimetry.pixelSize, Self.metresPerAngstrom),
      "warnings": .array(warnings.map(JSONValue.string)),
    ]
  }

  /// Reads what `json` wrote; nil when something is missing or cannot be.
  package init?(_ json: JSONValue) {
    guard let rate = Self.uncertain(json["rate_e_per_A2_s"], json["uncertainty_e_per_A2_s"]),
      let camera = json["camera"]?.string, let time = json["t_unix_ns"]?.integer, let frames = json["frames"]?.integer,
      let exposure = json["exposure_s"]?.double, let mean = json["mean_counts"]?.double,
      let scatter = json["scatter"]?.double, let drift = json["drift"]?.double,
      let hasDrifted = json["has_drifted"]?.bool, let parts = Parts(json["parts"]),
      let counts = Self.uncertain(json["counts_per_electron"]),
      let pixel = Self.uncertain(json["pixel_size_m"], Self.metresPerAngstrom)
    else { return nil }
    self.init(
      rate: rate, camera: camera, unixNanoseconds: time, frames: Int(frames), exposure: Seconds(exposure),
      meanCounts: mean, scatter: scatter, drift: drift, hasDrifted: hasDrifted, parts: parts,
      dosimetry: FrameDosimetry(countsPerElectron: counts, pixelSize: pixel))
  }

  private static let metresPerAngstrom = 1e-10

  private static func json(_ value: UncertainValue, _ unit: Double = 1) -> JSONValue {
    ["value": .number(value.value * unit), "uncertainty": .number(value.uncertainty * unit)]
  }

  private static func uncertain(_ json: JSONValue?, _ unit: Double = 1) -> UncertainValue? {
    uncertain(json?["value"], json?["uncertainty"]).map { UncertainValue($0.value / unit, $0.uncertainty / unit) }
  }

  private static func uncertain(_ value: JSONValue?, _ uncertainty: JSONValue?) -> UncertainValue? {
    guard let value = value?.double, let uncertainty = uncertainty?.double, value > 0, uncertainty >= 0 else {
      return nil
    }
    return UncertainValue(value, uncertainty)
  }
}

extension BeamCalibration.Parts {
  fileprivate init?(_ json: JSONValue?) {
    guard let statistical = json?["statistical"]?.double, let counts = json?["counts_per_electron"]?.double,
      let pixel = json?["pixel_size"]?.double, let drift = json?["drift"]?.double
    else { return nil }
    self.init(statistical: statistical, countsPerElectron: counts, pixelSize: pixel, drift: drift)
  }
}
