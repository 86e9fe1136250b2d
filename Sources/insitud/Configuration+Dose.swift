import Pixels
import Quantities
import RunControl
import YAML

/// What is needed to tell doses: values with their uncertainty, and the statistics of frames.
extension Configuration {
  /// Relative standard uncertainties where none is written.
  private static let usualShare = (doseRate: 0.1, countsPerElectron: 0.05, pixelSize: 0.05)

  /// e⁻/Å²/s: "2.5 +- 0.2", the unit may be written.
  static func doseRate(_ field: YAMLField) throws(YAMLError) -> UncertainValue {
    try uncertain(
      field, ["": 1, "e/A^2/s": 1, "e/Å^2/s": 1, "e/nm^2/s": 0.01], "2.5 +- 0.2", otherwise: usualShare.doseRate)
  }

  static func countsPerElectron(_ field: YAMLField) throws(YAMLError) -> UncertainValue {
    try uncertain(field, ["": 1], "12.5 +- 0.4", otherwise: usualShare.countsPerElectron)
  }

  /// Å at the specimen. “A” is the unit of length here, as in e/A^2.
  static func pixelSize(_ field: YAMLField) throws(YAMLError) -> UncertainValue {
    try uncertain(
      field, ["A": 1, "Å": 1, "pm": 0.01, "nm": 10, "um": 1e4, "µm": 1e4, "μm": 1e4], "0.52 A +- 1 %",
      otherwise: usualShare.pixelSize)
  }

  private static func uncertain(
    _ field: YAMLField, _ units: [String: Double], _ example: String, otherwise share: Double
  ) throws(YAMLError) -> UncertainValue {
    let text = try field.text()
    do throws(QuantityError) {
      return try UncertainValue(parsing: text, units: units, example: example, otherwise: share)
    } catch { throw field.error(error.description) }
  }

  /// `{saturation: 65535, regions: ["64 x 64 at 0, 0"]}`
  static func statistics(_ camera: YAMLMapping) throws(YAMLError) -> StatisticsSettings {
    let section = try camera.mapping("statistics", keys: ["saturation", "regions"])
    var level: UInt32?
    if section.ifPresent("saturation") != nil {
      level = UInt32(try section.integer("saturation", in: 1...Int(UInt32.max)))
    }
    var regions: [PixelRegion] = []
    if let list = section.ifPresent("regions") {
      for field in try list.sequence() {
        let text = try field.text()
        do throws(QuantityError) { regions.append(try PixelRegion(parsing: text)) } catch {
          throw field.error(error.description)
        }
      }
    }
    do throws(StatisticsSettingsError) {
      return try StatisticsSettings(saturationLevel: level, regions: regions)
    } catch { throw try camera.field("statistics").error("is not possible: \(error)") }
  }
}
