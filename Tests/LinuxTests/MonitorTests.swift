import Linux
import Quantities
import Testing

@Suite struct MonitorTests {
  @Test("Changes made by several threads are all there")
  func exclusion() {
    let count = Monitor(0)
    let threads = (0..<4).map { number in
      NamedThread("count-\(number)") { for _ in 0..<2500 { count.update { $0 += 1 } } }
    }
    for thread in threads { thread.join() }
    #expect(count.read { $0 } == 10_000)
  }

  @Test("A waiter gets the value that another thread brings")
  func waiting() {
    let box = Monitor<Int?>(nil)
    let thread = NamedThread("giver") { box.update { $0 = 7 } }
    let taken = box.wait(atMost: Seconds(10)) { state -> Int? in
      defer { state = nil }
      return state
    }
    thread.join()
    #expect(taken == 7)
    #expect(box.read { $0 } == nil)
  }

  @Test("A waiter gives up after its time")
  func timeout() {
    let box = Monitor(0)
    let before = MonotonicTime.now
    #expect(box.wait(atMost: Seconds(0.02)) { $0 > 0 ? $0 : nil } == nil)
    #expect((MonotonicTime.now - before).value >= 0.019)
    #expect(box.wait(atMost: Seconds(-1)) { $0 > 0 ? $0 : nil } == nil)
  }

  @Test("An error thrown inside comes out and leaves the monitor usable")
  func throwing() {
    let box = Monitor(0)
    #expect(throws: LinuxError.self) {
      try box.update { (state: inout Int) throws(LinuxError) in
        state = 1
        throw LinuxError("x", number: 5)
      }
    }
    #expect(box.read { $0 } == 1)
  }
}

@Suite struct BoundedQueueTests {
  @Test("Elements come out in the order they went in")
  func order() {
    let queue = BoundedQueue<Int>(limit: 10)
    for number in 0..<5 { #expect(queue.push(number)) }
    #expect(queue.count == 5)
    #expect((0..<5).map { _ in queue.pop(atMost: Seconds(1)) } == [0, 1, 2, 3, 4])
    #expect(queue.pop(atMost: .zero) == nil)
  }

  @Test("A full queue refuses, counts, and takes again when there is room")
  func full() {
    let queue = BoundedQueue<Int>(limit: 2)
    #expect([1, 2, 3, 4].map { queue.push($0) } == [true, true, false, false])
    #expect(queue.refused == 2)
    #expect(queue.pop(atMost: .zero) == 1)
    #expect(queue.push(5))
    #expect(queue.drain() == [2, 5])
    #expect(queue.drain() == [])
  }

  @Test("A closed queue takes nothing more and gives what it has; a waiter comes back at once")
  func closed() {
    let queue = BoundedQueue<Int>(limit: 2)
    queue.push(1)
    let ended = Monitor(false)
    queue.close()
    let thread = NamedThread("reader") {
      _ = queue.pop(atMost: Seconds(60))
      _ = queue.pop(atMost: Seconds(60))
      ended.update { $0 = true }
    }
    #expect(ended.wait(atMost: Seconds(10)) { $0 ? true : nil } == true)
    thread.join()
    #expect(!queue.push(2))
    #expect(queue.refused == 1)
  }

  @Test("Many elements pass between two threads without loss")
  func passing() {
    let queue = BoundedQueue<Int>(limit: 20_000)
    let thread = NamedThread("writer") {
      for number in 0..<10_000 { queue.push(number) }
      queue.close()
    }
    var received: [Int] = []
    while let number = queue.pop(atMost: Seconds(10)) { received.append(number) }
    thread.join()
    #expect(received == Array(0..<10_000))
  }
}
