import BiasProtocol
import Quantities
import Testing

@Suite struct ExpansionTests {
  @Test("Repeats are written out with cycles, marks and labels")
  func repeats() throws {
    let steps = try compiled(
      """
      - Rest for 1 s
      - repeat: 2
        steps:
          - mark: charge
          - Charge at 2 pA for 1 s
          - repeat: 2
            steps:
              - mark: pulse
              - Rest for 2 s
      - Rest for 3 s
      """
    ).steps
    #expect(steps.map(\.index) == Array(0..<8))
    #expect(steps.map(\.cycle) == [0, 1, 1, 1, 2, 2, 2, 2])
    #expect(steps.map(\.bound.value) == [1, 1, 2, 2, 1, 2, 2, 3])
    #expect(steps.map(\.label) == [nil, "charge", "pulse", "pulse", "charge", "pulse", "pulse", "pulse"])
    #expect(steps.map(\.marks) == [[], ["charge"], ["pulse"], ["pulse"], ["charge"], ["pulse"], ["pulse"], []])
    #expect(steps.map(\.line) == [8, 12, 16, 16, 12, 16, 16, 17])
  }

  @Test("Recording set at the end of a repeat holds for its next round")
  func carried() throws {
    let steps = try compiled(
      "- repeat: 2\n  steps:\n    - Rest for 1 s\n    - Record frames at 5 fps\n- Stop recording\n- Rest for 1 s\n- Stop recording"
    ).steps
    #expect(steps.map(\.recording) == [.off, .rate(Hertz(5)), .off])
  }

  private func nested(_ levels: Int, times: Int) -> String {
    var text = "[Rest for 1 s]"
    for _ in 0..<levels { text = "[{repeat: \(times), steps: \(text)}]" }
    return "protocol: 1\nname: x\nlimits: {voltage: [0 V, 1 V], current: [-1 pA, 1 pA]}\nsteps: \(text)\n"
  }

  @Test("Eight levels of repeats are written out, nine are refused")
  func nesting() throws {
    #expect(try CompiledProtocol(parsing: nested(8, times: 2)).steps.count == 256)
    #expect(errors(nested(9, times: 1)).first?.message.contains("nested deeper than 8") == true)
  }

  @Test("A hundred thousand steps are written out, one more is refused without writing them")
  func size() throws {
    #expect(try CompiledProtocol(parsing: nested(1, times: 100_000)).steps.count == 100_000)
    #expect(errors(nested(8, times: 100_000)).first?.message.contains("far too many") == true)
    let text = nested(1, times: 50_000).replacing("[Rest for 1 s]", with: "[Rest for 1 s, Rest for 1 s, Rest for 2 s]")
    #expect(errors(text).first?.message.contains("150000 steps; at most 100000") == true)
  }

  @Test("The settings of a protocol come out in their types")
  func settings() throws {
    let compiled = try compiled(
      "- Rest until > 1 V",
      header: "acquire: {sample: 20 ms, range: 10 nA, voltage_range: 20 V}\nmax_step: 2 h\n"
        + "sample: {id: A1, area: 1.2 um^2}")
    #expect(compiled.name == "test")
    #expect(compiled.sampleID == "A1")
    #expect(compiled.sampleArea == SquareMetres(1.2e-12))
    #expect(compiled.samplePeriod == Seconds(0.02))
    #expect(compiled.range == Amperes(1e-8))
    #expect(compiled.voltageRange == Volts(20))
    #expect(compiled.limits.voltage == Volts(-0.5)...Volts(4.5))
    #expect(compiled.limits.current == Amperes(-1e-10)...Amperes(1e-10))
    #expect(compiled.steps[0].bound == Seconds(7200))
    #expect(compiled.text.hasPrefix("protocol: 1\n"))
  }
}
