import Linux
import Testing

@Suite("The safety latch")
struct SafetyLatchTests {
  @Test("A command releases it, one that was given before the cell was made safe does not")
  func moments() {
    let latch = SafetyLatch()
    latch.set()
    let after = latch.now
    #expect(latch.isSet)
    #expect(latch.release(unlessSetSince: after))
    #expect(!latch.isSet)
    // Set and released again meanwhile: the command is older than the danger all the same.
    latch.set()
    latch.release()
    #expect(!latch.release(unlessSetSince: after))
    latch.set()
    #expect(!latch.release(unlessSetSince: after))
    #expect(latch.isSet)
  }
}
