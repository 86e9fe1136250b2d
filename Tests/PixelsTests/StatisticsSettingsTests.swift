import Pixels
import Quantities
import Testing

@Suite("Statistics settings")
struct StatisticsSettingsTests {
  @Test("What cannot be measured is refused in words")
  func refused() throws {
    let region = try #require(PixelRegion(width: 1, height: 1, left: 0, top: 0))
    #expect(throws: StatisticsSettingsError.tooManyRegions(17)) {
      try StatisticsSettings(regions: Array(repeating: region, count: 17))
    }
    for weight in [0, -0.5, 1.5, .infinity] as [Float] {
      #expect(throws: StatisticsSettingsError.impossibleWeight(weight)) {
        try StatisticsSettings(referenceWeight: weight)
      }
    }
    #expect(throws: StatisticsSettingsError.self) { try StatisticsSettings(referenceWeight: .nan) }
  }

  @Test("A region is read as people write it, and printed so that it is read again")
  func regions() throws {
    let region = try #require(PixelRegion(width: 64, height: 32, left: 128, top: 0))
    for text in ["64 x 32 at 128, 0", "64x32 at 128,0", " 64 × 32  at 128 , 0 ", "64X32 AT 128,0"] {
      #expect(try PixelRegion(parsing: text) == region)
    }
    #expect("\(region)" == "64 x 32 at 128, 0")
    for text in ["", "64 x 32", "64 x 32 at 1", "64 x 32 at 1, 2, 3", "6.5 x 32 at 1, 2", "64 x 32 px at 1, 2"] {
      let error = #expect(throws: QuantityError.self) { try PixelRegion(parsing: text) }
      #expect(error?.description.contains("not a region") == true)
    }
    let error = #expect(throws: QuantityError.self) { try PixelRegion(parsing: "0 x 32 at 1, 2") }
    #expect(error?.description.contains("is not possible") == true)
  }

  @Test("Without settings there are no regions and no level, and a sixteenth of each frame goes into the reference")
  func plain() throws {
    #expect(StatisticsSettings.plain == (try StatisticsSettings()))
    #expect(StatisticsSettings.plain.referenceWeight == 1.0 / 16)
  }
}
