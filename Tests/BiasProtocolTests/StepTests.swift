import BiasProtocol
import Quantities
import Testing

@Suite struct StepTests {
  @Test("A condition is met where its threshold is reached, on its side")
  func met() {
    let above = StopCondition(.voltage, .above, 4.2)
    #expect(!above.isMet(voltage: Volts(4.1999), current: nil))
    #expect(above.isMet(voltage: Volts(4.2), current: nil))
    let below = StopCondition(.current, .below, 2e-13, magnitude: true)
    #expect(below.isMet(voltage: nil, current: Amperes(-1e-13)))
    #expect(!below.isMet(voltage: nil, current: Amperes(-3e-13)))
    #expect(below.description == "|I| < 200 fA")
    #expect(above.description == "V > 4.2 V")
  }

  @Test("A missing value and one that is no number reach nothing")
  func missing() {
    for condition in [StopCondition(.voltage, .above, 1), StopCondition(.voltage, .below, 1)] {
      #expect(!condition.isMet(voltage: nil, current: Amperes(0)))
      #expect(!condition.isMet(voltage: Volts(.nan), current: Amperes(0)))
      #expect(!condition.isMet(voltage: Volts(.infinity), current: Amperes(0)))
    }
  }

  @Test("A charge to a voltage that is there already is skipped; without a reading it is not")
  func skipped() throws {
    let step = try compiled("- Charge at 2 pA for 1 h or until 4.2 V").steps[0]
    #expect(step.skip(at: Volts(4.25), nil) == StopCondition(.voltage, .above, 4.2))
    #expect(step.skip(at: Volts(4.1), nil) == nil)
    #expect(step.skip(at: nil, nil) == nil)
  }

  @Test("A hold is not skipped because no current flowed in the rest before it")
  func heldAfterRest() throws {
    let step = try compiled("- Hold at 4.2 V for 1 h or until 0.2 pA").steps[0]
    #expect(step.skip(at: Volts(4.1), Amperes(0)) == nil)
    #expect(step.end(voltage: Volts(4.2), current: Amperes(1e-13)) != nil)
  }
}
