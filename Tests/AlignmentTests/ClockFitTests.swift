@testable import Alignment
import Quantities
import Testing

@Suite("Clock fit")
struct ClockFitTests {
  private func nanoseconds(_ seconds: Double) -> Int64 { Int64((seconds * 1e9).rounded()) }

  @Test("one-sided stamps give the lower hull's edge over the mean (clocks.md vector C1)")
  func vectorC1() throws {
    let late = [3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3]
    let pairs = (0..<10).map { d in
      ClockPair(
        deviceNanoseconds: Int64(d) * 1_000_000_000, earliest: nil,
        latest: MonotonicTime(nanoseconds: nanoseconds(1.00005 * Double(d) + 0.010 + late[d] * 1e-4)))
    }
    let model = try #require(ClockFit.fit(pairs: pairs, maximumLatency: Seconds(2e-3)))
    let segment = try #require(model.segments.first)
    #expect(model.segments.count == 1)
    #expect(abs(segment.rate - 1.0000833333) < 1e-10)
    #expect(segment.method == ClockFit.oneSidedMethod)
    #expect(segment.boundReference > 0.9e-3 && segment.boundReference <= 1e-3)
    for pair in pairs {
      let answer = segment.host(atDevice: pair.deviceNanoseconds)
      let truth = 1.00005 * Double(pair.deviceNanoseconds) * 1e-9 + 0.010
      #expect(abs(Double(answer.time.nanoseconds) * 1e-9 - truth) <= answer.halfWidth.value)
    }
  }

  @Test("the hull of vector C1 has its four corners, and its edge over the mean is the sheet's line")
  func hull() {
    let late = [3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3]
    var hull = LowerHull()
    for d in 0..<10 { hull.append(x: Double(d), y: 1.00005 * Double(d) + 0.010 + late[d] * 1e-4) }
    #expect(hull.vertices.map(\.x) == [0, 1, 3, 9])
    for (vertex, y) in zip(hull.vertices, [0.0103, 1.01015, 3.01025, 9.01075]) { #expect(abs(vertex.y - y) < 1e-12) }
    let slope = hull.slopes(at: 4.5)
    #expect(slope.least == slope.greatest)
    #expect(abs(slope.least - 1.0000833333) < 1e-9)
    #expect(abs(hull.lowestIntercept(slope: slope.least).value - 0.0100000) < 1e-9)
  }

  struct Link: Sendable, CustomTestStringConvertible {
    var name: String
    var extraReturn = 0.0
    var latencyTimer = 0.0
    /// What is accepted: root mean square and greatest error, half-width claimed at the middle, s.
    var rms: Double
    var worst: Double
    var claimed: Double
    var testDescription: String { name }
  }

  static let links = [
    Link(name: "USB high speed", rms: 5e-6, worst: 20e-6, claimed: 75e-6),
    Link(name: "100 µs more on the way back", extraReturn: 100e-6, rms: 55e-6, worst: 75e-6, claimed: 125e-6),
    Link(name: "FTDI, latency timer 1 ms", latencyTimer: 1e-3, rms: 25e-6, worst: 80e-6, claimed: 110e-6),
    Link(name: "FTDI, latency timer 16 ms", latencyTimer: 16e-3, rms: 80e-6, worst: 300e-6, claimed: 180e-6),
  ]

  @Test(
    "the truth is inside the claimed bound in every case, and the error is as small as the sheet's", arguments: links)
  func simulation(_ link: Link) throws {
    var within = 0
    var outside = 0
    var all = 0
    var squares = 0.0
    var worst = 0.0
    var claimed = 0.0
    for seed in 1...20 as ClosedRange<UInt64> {
      let device = SimulatedLink(extraReturn: link.extraReturn, latencyTimer: link.latencyTimer)
      let pairs = device.pairs(seconds: 600, seed: seed)
      let model = try #require(ClockFit.fit(pairs: pairs, tick: Seconds(device.tick)))
      #expect(model.segments.count == 1, "seed \(seed)")
      #expect(model.rejectedPairs == 0)
      claimed = max(claimed, model.segments[0].boundReference)
      for pair in pairs {
        let answer = try #require(model.host(atDevice: pair.deviceNanoseconds))
        let error = abs(Double(answer.time.nanoseconds) * 1e-9 - device.truth(pair.deviceNanoseconds))
        if error > answer.halfWidth.value { outside += 1 }
        if error <= answer.halfWidth.value / 3.0.squareRoot() { within += 1 }
        worst = max(worst, error)
        squares += error * error
        all += 1
      }
    }
    #expect(outside == 0)
    // A rectangular distribution has 58 % within one standard deviation; a fit in the middle has more.
    #expect(Double(within) / Double(all) > 0.58)
    #expect((squares / Double(all)).squareRoot() <= link.rms)
    #expect(worst <= link.worst)
    #expect(claimed <= link.claimed)
  }

  @Test("a crystal 100 ppm off over three hours stays inside the bound, in windows of 20 minutes")
  func drift() throws {
    let device = SimulatedLink(rate: 100e-6)
    let pairs = device.pairs(seconds: 3 * 3600, period: 2.1, seed: 5)
    let model = try #require(ClockFit.fit(pairs: pairs))
    #expect(model.segments.count == 9)
    for (before, after) in zip(model.segments, model.segments.dropFirst()) {
      #expect(before.toDevice == after.fromDevice)
    }
    for host in stride(from: 1000.0, to: 1000 + 3 * 3600, by: 13.7) {
      let stamp = device.device(host)
      let answer = try #require(model.host(atDevice: stamp))
      #expect(abs(Double(answer.time.nanoseconds) * 1e-9 - device.truth(stamp)) <= answer.halfWidth.value + device.tick)
    }
  }

  @Test("a slow clock of 2.4 % fits only where it is allowed")
  func slowClock() throws {
    var device = SimulatedLink(rate: 24e-3)
    device.tick = 0.9766e-3
    device.uniform = 2e-3
    let pairs = device.pairs(seconds: 300, seed: 3)
    let wide = try #require(ClockFit.fit(pairs: pairs, maximumRateError: 3e-2, tick: Seconds(device.tick)))
    #expect(wide.segments.count == 1)
    #expect(abs(wide.segments[0].rate - 1.024) < 1e-5)
    let narrow = try #require(ClockFit.fit(pairs: pairs, tick: Seconds(device.tick)))
    #expect(narrow.segments.count > 100)
  }

  @Test("a clock set back begins a new segment, and messages tell the two apart by their arrival")
  func reset() throws {
    var chance = Chance(seed: 9)
    let before = SimulatedLink()
    var after = SimulatedLink()
    after.offset = -1100
    var pairs: [ClockPair] = []
    for host in stride(from: 1000.0, to: 1100, by: 0.5) { pairs.append(before.pair(at: host, &chance)) }
    for host in stride(from: 1100.0, to: 1400, by: 0.5) { pairs.append(after.pair(at: host, &chance)) }
    let model = try #require(ClockFit.fit(pairs: pairs))
    #expect(model.segments.count == 2)
    #expect(model.segments.map(\.pairs) == [200, 600])
    for host in stride(from: 1000.3, to: 1399, by: 7) {
      let device = host < 1100 ? before : after
      let arrival = MonotonicTime(nanoseconds: nanoseconds(host + 0.02))
      let answer = try #require(model.host(atDevice: device.device(host), arrival: arrival))
      #expect(abs(Double(answer.time.nanoseconds) * 1e-9 - host) <= answer.halfWidth.value + device.tick)
    }
    // Before the first pair after the reset the device's time looks like the past of nothing else.
    let early = try #require(
      model.host(atDevice: after.device(1100.00001), arrival: MonotonicTime(nanoseconds: nanoseconds(1100.01))))
    #expect(abs(Double(early.time.nanoseconds) * 1e-9 - 1100.00001) < 1e-3)
  }

  @Test("a clock stepped forward splits the window where it happened")
  func step() throws {
    var chance = Chance(seed: 11)
    let before = SimulatedLink()
    var after = SimulatedLink()
    after.offset += 1
    let hosts = Array(stride(from: 1000.0, to: 1200, by: 0.5))
    let pairs = hosts.map { $0 < 1100 ? before.pair(at: $0, &chance) : after.pair(at: $0, &chance) }
    let model = try #require(ClockFit.fit(pairs: pairs))
    #expect(model.segments.map(\.pairs) == [200, 200])
    #expect(model.segments.allSatisfy { $0.boundTo < 200e-6 })
  }

  @Test("one wrong stamp is rejected and widens nothing")
  func wrongStamp() throws {
    let device = SimulatedLink()
    var pairs = device.pairs(seconds: 120, seed: 4)
    let clean = try #require(ClockFit.fit(pairs: pairs.enumerated().filter { $0.offset != 50 }.map(\.element)))
    pairs[50].deviceNanoseconds += 20_000_000
    let model = try #require(ClockFit.fit(pairs: pairs))
    #expect(model.segments == clean.segments)
    #expect(model.rejectedPairs == 1)
  }

  @Test("one pair gives a constant with the nominal rate, and a bound that widens with the rate's error")
  func singlePair() throws {
    let pair = ClockPair(
      deviceNanoseconds: 5_000_000_000, earliest: MonotonicTime(nanoseconds: 9_000_000_000),
      latest: MonotonicTime(nanoseconds: 9_000_400_000))
    let model = try #require(ClockFit.fit(pairs: [pair]))
    let here = try #require(model.host(atDevice: 5_000_000_000))
    #expect(here.time == MonotonicTime(nanoseconds: 9_000_200_000))
    #expect(abs(here.halfWidth.value - 200e-6) < 1e-9)
    let later = try #require(model.host(atDevice: 15_000_000_000))
    #expect(later.time == MonotonicTime(nanoseconds: 19_000_200_000))
    #expect(later.halfWidth.value >= 200e-6 + 500e-6 * 10)
    #expect(model.segments[0].method == ClockFit.singlePairMethod)
  }

  @Test("outside its pairs the bound still contains the truth")
  func outside() throws {
    let device = SimulatedLink()
    let model = try #require(ClockFit.fit(pairs: device.pairs(seconds: 60, seed: 8)))
    for host in [400.0, 900, 990, 1070, 1200, 3000] {
      let stamp = device.device(host)
      let answer = try #require(model.host(atDevice: stamp))
      #expect(abs(Double(answer.time.nanoseconds) * 1e-9 - device.truth(stamp)) <= answer.halfWidth.value + device.tick)
    }
    let near = try #require(model.host(atDevice: device.device(1060)))
    let far = try #require(model.host(atDevice: device.device(1600)))
    #expect(far.halfWidth.value > near.halfWidth.value)
  }

  @Test("pairs that say nothing or contradict themselves give no model")
  func useless() {
    let nothing = ClockPair(deviceNanoseconds: 1, earliest: nil, latest: nil)
    let crossed = ClockPair(
      deviceNanoseconds: 1, earliest: MonotonicTime(nanoseconds: 5), latest: MonotonicTime(nanoseconds: 4))
    #expect(ClockFit.fit(pairs: []) == nil)
    #expect(ClockFit.fit(pairs: [nothing, crossed]) == nil)
  }

  @Test("stamps that count from 1970 lose nothing")
  func epoch() throws {
    var device = SimulatedLink()
    device.tick = 1e-9
    let shift: Int64 = 1_790_000_000_000_000_000
    let pairs = device.pairs(seconds: 100, seed: 6)
    let moved = pairs.map { pair in
      var pair = pair
      pair.deviceNanoseconds += shift
      return pair
    }
    let here = try #require(ClockFit.fit(pairs: pairs))
    let there = try #require(ClockFit.fit(pairs: moved))
    let stamp = device.device(1050)
    #expect(here.host(atDevice: stamp)?.time == there.host(atDevice: stamp + shift)?.time)
  }
}
