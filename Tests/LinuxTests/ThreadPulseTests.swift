import Linux
import Quantities
import Testing

@Suite("What a thread gets done")
struct ThreadPulseTests {
  @Test("Long work that gets on beats; work that hangs does not, and neither does a thread without a pulse")
  func beats() {
    ThreadPulse.beat()
    let thread = OwningThread("pulse", interval: { _ in Seconds(3600) }, make: { 0 }, tick: { _ in })
    defer { thread.end() }
    #expect(thread.run(within: Seconds(10)) { _ in true } == true)
    let stage = Monitor(0)
    thread.post { _ in
      for _ in 0..<5 { ThreadPulse.beat() }
      stage.update { $0 = 1 }
      _ = stage.wait(atMost: Seconds(20)) { $0 == 2 ? true : nil }
    }
    _ = stage.wait(atMost: Seconds(10)) { $0 == 1 ? true : nil }
    let hanging = thread.beats
    #expect(hanging >= 5)
    ThreadPulse.beat()
    #expect(thread.beats == hanging, "the pulse of one thread is not that of another")
    stage.update { $0 = 2 }
    #expect(thread.run(within: Seconds(10)) { _ in true } == true)
    #expect(thread.beats > hanging)
  }
}
