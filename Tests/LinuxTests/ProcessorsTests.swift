import Linux
import Testing

@Suite struct ProcessorsTests {
  @Test("A pinned thread may run on its processor alone, and its neighbours where they could before")
  func pinning() throws {
    let all = Processors.usable
    let chosen = try #require(all.last)
    let seen = Monitor([Int]())
    NamedThread("test-pin") {
      try? Processors.pinThread(to: chosen)
      seen.update { $0 = Processors.usable }
    }.join()
    #expect(seen.read { $0 } == [chosen])
    #expect(Processors.usable == all)
  }

  @Test("A processor that is not there is refused", arguments: [-1, 1_000_000, Int.max])
  func missing(processor: Int) {
    #expect(throws: LinuxError.self) { try Processors.pinThread(to: processor) }
  }
}
