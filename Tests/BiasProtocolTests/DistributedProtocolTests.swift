import BiasProtocol
import Quantities
import Testing

/// The figures that the documentation and `make demo` count on.
@Suite struct DistributedProtocolTests {
  private let frameBytes = 1024 * 1024 * 2

  @Test("The demo takes about a minute and less than 5 GB, with two bursts of 400 frames per second")
  func demo() throws {
    let compiled = try CompiledProtocol(parsing: distributed("demo.yaml"))
    let plan = compiled.plan(cameras: camera(bytes: frameBytes), indexBytes: 64)
    #expect(compiled.name == "2 pA demo charge")
    #expect((50...70).contains(plan.duration.value))
    #expect(plan.frames.frames <= 2300)
    #expect(plan.frames.bytes <= 5_000_000_000)
    #expect(plan.steps.filter { $0.recording == .rate(Hertz(400)) }.map(\.duration) == [Seconds(2), Seconds(2)])
    #expect(compiled.limits.voltage == Volts(-0.5)...Volts(4.5))
    #expect(compiled.limits.current == Amperes(-1e-10)...Amperes(1e-10))
    #expect(compiled.range == Amperes(1e-8))
    #expect(plan.warnings == [])
  }

  @Test("The formation has its rest and five cycles of five steps, the camera off in the last of each")
  func formation() throws {
    let compiled = try CompiledProtocol(parsing: distributed("formation.yaml"))
    #expect(compiled.steps.count == 26)
    #expect(compiled.steps.last?.cycle == 5)
    #expect(compiled.limits.dose == ElectronDose(5000))
    #expect(compiled.steps.filter { $0.recording == .off }.count == 6)
  }

  @Test("The protocol for foreign cameras records everything, and the smallest one charges")
  func others() throws {
    #expect(try CompiledProtocol(parsing: distributed("simplon.yaml")).steps.map(\.recording) == [.all])
    let charge = try CompiledProtocol(parsing: distributed("charge-2pA.yaml"))
    #expect(charge.steps.map(\.action) == [.current(Amperes(2e-12))])
    #expect(charge.samplePeriod == Seconds(0.01))
  }
}
