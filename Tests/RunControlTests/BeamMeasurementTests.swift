import Alignment
import FrameRing
import JSON
import NanobatteryTwin
import Pixels
import Quantities
import Testing

@testable import RunControl

@Suite("Measuring the beam")
struct BeamMeasurementTests {
  private static let dosimetry = FrameDosimetry(
    countsPerElectron: UncertainValue(10, 0.1), pixelSize: UncertainValue(20, 0.1))
  private static let side = 32
  private static let exposure: Int64 = 2_500_000
  private static let length = Seconds(1)

  /// A frame of a series that lasts `length`, of which `place` (0…1) is gone.
  private static func frame(_ place: Double, sum: Double, maximum: UInt32 = 100, saturated: UInt64 = 0) -> FrameHeader {
    let statistics = FrameStatistics(
      sum: UInt64(max(0, sum.rounded())), minimum: 0, maximum: maximum, saturated: saturated)
    return FrameHeader(
      exposureNanoseconds: exposure, arrival: MonotonicTime(nanoseconds: 5_000_000_000) + length * place,
      width: side, height: side, statistics: statistics)
  }

  private static func measure(
    _ dosimetry: FrameDosimetry = dosimetry, frames: Int = 32, _ frame: (Double) -> FrameHeader
  ) throws(BeamMeasurement.Problem) -> BeamCalibration {
    var measurement = BeamMeasurement(dosimetry, length: length)
    for index in 0..<frames { try measurement.add(frame(Double(index) / Double(frames))) }
    return try measurement.result(camera: "camera", unixNanoseconds: 1_700_000_000_123_456_789)
  }

  @Test("A steady beam has the rate of its counts, and the parts of its uncertainty add in squares")
  func steady() throws {
    let found = try Self.measure { Self.frame($0, sum: 10_240) }
    // 1 electron on each of 1024 pixels of 400 Å² in 2.5 ms.
    #expect(abs(found.rate.value - 1 / 400.0 / 0.0025) < 1e-9)
    #expect(found.frames == 32 && found.meanCounts == 10 && found.scatter == 0)
    #expect(abs(found.exposure.value - 0.0025) < 1e-12)
    #expect(abs(found.parts.statistical - 1 / (32.0 * 1024).squareRoot()) < 1e-12)
    #expect(found.parts.countsPerElectron == 0.01 && found.parts.pixelSize == 0.01 && found.parts.drift == 0)
    #expect(abs(found.rate.relative - (0.0001 + 0.0001 + 1 / 32768.0).squareRoot()) < 1e-12)
    #expect(!found.hasDrifted && found.warnings.isEmpty)
  }

  @Test("A beam that drifts is told of, and the drift is part of the uncertainty")
  func drift() throws {
    var random = SeededRandom(seed: 4)
    let found = try Self.measure { Self.frame($0, sum: 10_240 * (1 + 0.1 * $0) * (1 + 0.002 * random.normal())) }
    #expect(found.hasDrifted)
    #expect(abs(found.drift - 0.0476) < 0.003, "\(found.drift)")
    #expect(abs(found.parts.drift - found.drift / 3.0.squareRoot()) < 1e-12)
    #expect(found.warnings.count == 1 && found.warnings[0].contains("calibrate again"))
    let noisy = try Self.measure { Self.frame($0, sum: 10_240 * (1 + 0.1 * random.normal())) }
    #expect(!noisy.hasDrifted && noisy.parts.drift == 0)
    #expect(noisy.parts.statistical > 0.01 && noisy.scatter > 0.06)
  }

  @Test(
    "The stated uncertainty covers the true rate as often as it says, with counting noise and with a beam that flickers",
    arguments: [(100.0, 0.0), (1000, 0.0), (10_000, 0.08)])
  func coverage(electrons: Double, flicker: Double) throws {
    var random = SeededRandom(seed: 9)
    let truth = electrons / Double(Self.side * Self.side) / 400 / 0.0025
    let trials = 2000
    var within = 0
    var withinTwo = 0
    for _ in 0..<trials {
      let believed = FrameDosimetry(
        countsPerElectron: UncertainValue(10 * (1 + 0.01 * random.normal()), 0.1),
        pixelSize: UncertainValue(20 * (1 + 0.004 * random.normal()), 0.08))
      let found = try Self.measure(believed) { place in
        // A Poisson count of 100 and more is nearly normal.
        let beam = electrons * (1 + flicker * random.normal())
        return Self.frame(place, sum: 10 * (beam + beam.squareRoot() * random.normal()).rounded())
      }
      let error = abs(found.rate.value - truth)
      if error <= found.rate.uncertainty { within += 1 }
      if error <= 2 * found.rate.uncertainty { withinTwo += 1 }
    }
    #expect(abs(Double(within) / Double(trials) - 0.683) < 0.035, "\(within) of \(trials)")
    #expect(abs(Double(withinTwo) / Double(trials) - 0.954) < 0.02, "\(withinTwo) of \(trials)")
  }

  @Test("Frames that cannot be used are refused with their reason")
  func refused() {
    #expect(throws: BeamMeasurement.Problem.noCounts) { try Self.measure { Self.frame($0, sum: 0, maximum: 0) } }
    #expect(throws: BeamMeasurement.Problem.tooFewFrames(15)) {
      try Self.measure(frames: 15) { Self.frame($0, sum: 1000) }
    }
    // All of them in the first half: nothing shows whether the beam is steady.
    #expect(throws: BeamMeasurement.Problem.tooFewFrames(32)) { try Self.measure { Self.frame($0 / 4, sum: 1000) } }
    #expect(throws: BeamMeasurement.Problem.fullPixels(65535)) {
      try Self.measure { Self.frame($0, sum: 100_000, maximum: 65535) }
    }
    // 65535 of a million counts.
    #expect(throws: BeamMeasurement.Problem.saturated(share: 0.065535)) {
      try Self.measure { Self.frame($0, sum: 1_000_000, maximum: 65535, saturated: 1) }
    }
    #expect(throws: BeamMeasurement.Problem.noExposure) {
      try Self.measure { place in
        var frame = Self.frame(place, sum: 1000)
        frame.exposureNanoseconds = 0
        return frame
      }
    }
    #expect(throws: BeamMeasurement.Problem.noStatistics) {
      try Self.measure { place in
        var frame = Self.frame(place, sum: 1000)
        frame.statistics = nil
        return frame
      }
    }
    #expect(throws: BeamMeasurement.Problem.otherShape) {
      try Self.measure { place in
        var frame = Self.frame(place, sum: 1000)
        if place > 0.5 { frame.width = 64 }
        return frame
      }
    }
  }

  @Test("A hot pixel that is known to be saturated and weighs nothing does no harm")
  func hotPixel() throws {
    let found = try Self.measure { Self.frame($0, sum: 100_000_000, maximum: 65535, saturated: 1) }
    #expect(found.frames == 32)
  }

  @Test("A calibration is read back from its JSON; without a part of it there is none")
  func json() throws {
    let found = try Self.measure { Self.frame($0, sum: 10_240 * (1 + $0)) }
    let back = try #require(BeamCalibration(found.json))
    #expect(abs(back.dosimetry.pixelSize.value - 20) < 1e-9 && abs(back.dosimetry.pixelSize.uncertainty - 0.1) < 1e-9)
    var same = back
    same.dosimetry = found.dosimetry
    #expect(same == found)
    #expect(found.json["calibrated"]?.string == "2023-11-14T22:13:20.123Z")
    let members = try #require(found.json.object)
    for name in members.keys where name != "calibrated" && name != "warnings" {
      #expect(BeamCalibration(.object(members.filter { $0.key != name })) == nil, "without \(name)")
    }
  }
}
