import Quantities
import Testing

@testable import Potentiostat

@Suite("Rows of a circular reading buffer")
struct ReadingBufferTests {
  @Test("Every row is asked for once, in order, also where the buffer wraps")
  func rows() {
    var buffer = Potentiostat.ReadingBuffer()
    var asked: [Int] = []
    for end in [3, 3, 950, 99_999, 4, 4, 7] { for span in buffer.unread(through: end) { asked += Array(span) } }
    #expect(asked == Array(1...99_999) + [100_000] + Array(1...7))
  }

  @Test("No question asks for more than its limit")
  func limit() {
    var buffer = Potentiostat.ReadingBuffer()
    #expect(buffer.unread(through: 5000).allSatisfy { $0.count <= Potentiostat.ReadingBuffer.mostPerQuestion })
  }

  @Test("What is no row is not asked for", arguments: [0, -1, 100_001])
  func outside(end: Int) {
    var buffer = Potentiostat.ReadingBuffer()
    #expect(buffer.unread(through: end).isEmpty)
  }
}
