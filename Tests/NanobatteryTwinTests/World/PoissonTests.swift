import Testing

@testable import NanobatteryTwin

@Suite("What the camera draws")
struct PoissonTests {
  @Test("A pool has the mean and the variance of Poisson counts", arguments: [0.0, 0.0024, 0.5, 2.4, 30, 900, 40_000])
  func statistics(mean: Double) {
    var random = SeededRandom(seed: 11)
    let count = 100_000
    let pool = PoissonPool(mean: mean, count: count, random: &random)
    var sum = 0.0
    var squares = 0.0
    for index in 0..<count {
      let value = Double(pool[index])
      sum += value
      squares += (value - mean) * (value - mean)
    }
    #expect(abs(sum - mean * Double(count)) <= 0.5)
    // The variance of a Poisson sample's variance is λ/n + 2λ²/(n−1).
    let variance = squares / Double(count)
    let spread = (mean / Double(count) + 2 * mean * mean / Double(count)).squareRoot()
    #expect(abs(variance - mean) <= 5 * spread)
  }

  @Test("The zeros of a pool are as frequent as Poisson says, and the seed repeats it")
  func distribution() {
    var random = SeededRandom(seed: 12)
    var again = SeededRandom(seed: 12)
    let pool = PoissonPool(mean: 2, count: 50_000, random: &random)
    let same = PoissonPool(mean: 2, count: 50_000, random: &again)
    var histogram = [Int](repeating: 0, count: 8)
    for index in 0..<50_000 {
      #expect(pool[index] == same[index])
      if pool[index] < 8 { histogram[Int(pool[index])] += 1 }
    }
    var probability = 0.1353352832366127
    for k in 0..<8 {
      let expected = probability * 50_000
      #expect(abs(Double(histogram[k]) - expected) < 5 * expected.squareRoot())
      probability *= 2 / Double(k + 1)
    }
  }

  /// Mean count of the columns of a frame.
  private func columns(_ scene: FrontScene, _ stateOfCharge: Double) -> [Double] {
    var pixels = [UInt16](repeating: 0xFFFF, count: scene.width * scene.height)
    pixels.withUnsafeMutableBufferPointer { scene.draw(stateOfCharge: stateOfCharge, into: $0.baseAddress!) }
    return (0..<scene.width).map { x in
      (0..<scene.height).reduce(0.0) { $0 + Double(pixels[$1 * scene.width + x]) } / Double(scene.height)
    }
  }

  @Test("Each region has its mean within 5 %, for a bright and a faint exposure", arguments: [0.05, 2.4, 200])
  func regions(mean: Double) {
    let scene = FrontScene(width: 256, height: 256, mean: mean, seed: 3)
    var sums = [Double](repeating: 0, count: 256)
    let frames = mean < 1 ? 100 : 10
    for _ in 0..<frames { for (x, value) in columns(scene, 0.5).enumerated() { sums[x] += value / Double(frames) } }
    func level(_ range: Range<Int>) -> Double { range.reduce(0) { $0 + sums[$1] } / Double(range.count) }
    func expectLevel(_ range: Range<Int>, _ region: FrontScene.Region) {
      let expected = mean * region.transmission
      #expect(abs(level(range) - expected) < 0.05 * expected)
    }
    expectLevel(0..<30, .vacuum)
    expectLevel(31..<100, .reacted)
    expectLevel(160..<230, .unreacted)
    expectLevel(231..<256, .substrate)
  }

  @Test("With nothing in the beam every column has the mean of vacuum, whatever the battery does")
  func vacuum() {
    let scene = FrontScene(width: 256, height: 256, mean: 50, seed: 3, isVacuum: true)
    for column in columns(scene, 0.7) { #expect(abs(column - 50) < 5 * (50.0 / 256).squareRoot()) }
  }

  @Test("The front moves with the state of charge, in every row, and never leaves the lamella")
  func front() {
    let scene = FrontScene(width: 1024, height: 64, mean: 1, seed: 5)
    for row in 0..<64 {
      var last = -1
      for percent in stride(from: -20, through: 120, by: 5) {
        let position = scene.front(row: row, stateOfCharge: Double(percent) / 100)
        #expect(position >= last && position >= 122 && position <= 921)
        last = position
      }
      let quarter = scene.front(row: row, stateOfCharge: 0.25)
      #expect(abs(scene.front(row: row, stateOfCharge: 0.75) - quarter - 400) <= 1)
    }
    #expect(Set((0..<64).map { scene.front(row: $0, stateOfCharge: 0.5) }).count > 5)
  }

  @Test("The schedule counts an exposure as begun from its first nanosecond")
  func schedule() {
    let schedule = ExposureSchedule(series: 1, first: 1000, period: 250, exposure: 240)
    #expect(schedule.begun(at: 999) == 0)
    #expect(schedule.begun(at: 1000) == 1)
    #expect(schedule.begun(at: 1249) == 1)
    #expect(schedule.begun(at: 1250) == 2)
    #expect(schedule.stop(2) == 1740)
  }

  @Test("Patterns strike so many of every so many")
  func patterns() {
    let pattern = CameraFaults.Pattern(frames: 3, every: 100)
    #expect((0..<1000).filter { pattern.strikes(UInt64($0)) }.count == 30)
    #expect(!pattern.strikes(96) && pattern.strikes(97) && pattern.strikes(99) && !pattern.strikes(100))
    #expect((0..<10).allSatisfy { CameraFaults.Pattern(frames: 9, every: 2).strikes($0) })
  }
}
