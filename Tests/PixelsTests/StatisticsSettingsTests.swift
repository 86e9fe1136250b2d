import Pixels
import Testing

@Suite("Statistics settings")
struct StatisticsSettingsTests {
  @Test("What cannot be measured is refused in words")
  func refused() {
    let region = PixelRegion(left: 0, top: 0, width: 1, height: 1)
    #expect(throws: StatisticsSettingsError.tooManyRegions(17)) {
      try StatisticsSettings(regions: Array(repeating: region, count: 17))
    }
    let impossible = [
      (-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0), (0, 0, Int.max, 1), (Int.max, 0, 1, 1),
    ]
    for (left, top, width, height) in impossible {
      let wrong = PixelRegion(left: left, top: top, width: width, height: height)
      #expect(throws: StatisticsSettingsError.impossibleRegion(number: 2, wrong)) {
        try StatisticsSettings(regions: [region, wrong])
      }
    }
    for weight in [0, -0.5, 1.5, .infinity] as [Float] {
      #expect(throws: StatisticsSettingsError.impossibleWeight(weight)) {
        try StatisticsSettings(referenceWeight: weight)
      }
    }
    #expect(throws: StatisticsSettingsError.self) { try StatisticsSettings(referenceWeight: .nan) }
    #expect(
      "\(StatisticsSettingsError.impossibleRegion(number: 2, PixelRegion(left: -1, top: 0, width: 3, height: 4)))"
        == "region 2 (left -1, top 0, 3 x 4) is not possible; left and top are 0 or more, the sides 1 or more, "
        + "and none is above 1048576 pixels")
  }

  @Test("Without settings there are no regions and no level, and a sixteenth of each frame goes into the reference")
  func plain() throws {
    #expect(StatisticsSettings.plain == (try StatisticsSettings()))
    #expect(StatisticsSettings.plain.referenceWeight == 1.0 / 16)
  }
}
