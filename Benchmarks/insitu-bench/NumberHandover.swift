import CBoostQueue
import CLinux
import Glibc
import Linux
import Quantities
import Synchronization

/// Numbers of 8 bytes from one pinned thread to another: through `HandoverRing`, and through Boost.Lockfree's queue.
struct NumberHandover {
  /// Numbers that are timed together: about 100 us, so that most of them are handed over while both threads run.
  private static let chunk = 20_000
  private static let chunks = 250
  /// In turns; 5 million numbers each.
  private static let rounds = 20

  /// Time for one number.
  struct Result {
    var ring: Spread
    /// Nil when the programs were built without Boost.
    var boost: Spread?
  }

  private final class Run: Sendable {
    let ring = HandoverRing(capacity: Int(CBOOST_QUEUE_CAPACITY))
    private let ready = Atomic(0)
    let problem = Monitor(String?.none)
    let times = Monitor([Double]())

    /// Pins the calling thread and waits for the other one.
    func begin(on processor: Int) {
      do throws(LinuxError) { try Processors.pinThread(to: processor) } catch { problem.update { $0 = "\(error)" } }
      ready.add(1, ordering: .releasing)
      while ready.load(ordering: .acquiring) < 2 { sched_yield() }
    }
  }

  func measure() throws(BenchmarkError) -> Result {
    let processors = Processors.usable
    guard processors.count >= 2 else { throw BenchmarkError("a hand-over needs two processors") }
    var ring: [Double] = []
    var boost: [Double] = []
    for _ in 0..<Self.rounds {
      ring += try throughRing(processors[0], processors[1])
      if cboost_queue_is_there() == 1 { boost += try throughBoost(processors[0], processors[1]) }
    }
    return Result(ring: Spread(ring), boost: boost.isEmpty ? nil : Spread(boost))
  }

  private func throughRing(_ producer: Int, _ consumer: Int) throws(BenchmarkError) -> [Double] {
    let run = Run()
    let pushing = NamedThread("bench-push") {
      run.begin(on: producer)
      push(UInt64(Self.chunks * Self.chunk), into: run.ring)
    }
    let popping = NamedThread("bench-pop") {
      run.begin(on: consumer)
      var next: UInt64 = 0
      var times: [Double] = []
      times.reserveCapacity(Self.chunks)
      var before = MonotonicTime.now
      for _ in 0..<Self.chunks {
        if !pop(Self.chunk, from: run.ring, &next) { run.problem.update { $0 = "a number came out wrong" } }
        let now = MonotonicTime.now
        times.append((now - before).value / Double(Self.chunk))
        before = now
      }
      run.times.update { $0 = times }
    }
    pushing.join()
    popping.join()
    if let problem = run.problem.read({ $0 }) { throw BenchmarkError("the hand-over ring: \(problem)") }
    return run.times.read { $0 }
  }

  private func throughBoost(_ producer: Int, _ consumer: Int) throws(BenchmarkError) -> [Double] {
    var times = [Double](repeating: 0, count: Self.chunks)
    let code = unsafe times.withUnsafeMutableBufferPointer { room in
      unsafe cboost_queue_run(
        UInt64(Self.chunks), UInt64(Self.chunk), Int32(producer), Int32(consumer), room.baseAddress!)
    }
    guard code == 0 else { throw BenchmarkError("Boost's queue ended with \(code)") }
    return times.map { $0 / Double(Self.chunk) }
  }
}

// Both sides of the comparison wait like this: turning, and leaving the processor to others where nothing comes for long.
// Each look takes the line of the other thread from it: 64 pauses between two of them.
private func wait(_ tries: inout UInt32) {
  tries &+= 1
  for _ in 0..<64 { clinux_pause() }
  if tries % 65_536 == 0 { sched_yield() }
}

@inline(never)
private func push(_ count: UInt64, into ring: HandoverRing) {
  var tries: UInt32 = 0
  for number in 0..<count {
    while !ring.push(number) { wait(&tries) }
  }
}

/// False when another number than the next one came out.
@inline(never)
private func pop(_ count: Int, from ring: HandoverRing, _ next: inout UInt64) -> Bool {
  var tries: UInt32 = 0
  var isRight = true
  for _ in 0..<count {
    var number = ring.pop()
    while number == nil {
      wait(&tries)
      number = ring.pop()
    }
    if number != next { isRight = false }
    next &+= 1
  }
  return isRight
}

extension Benchmark {
  mutating func numberHandover() throws(BenchmarkError) {
    say("the hand-over of numbers between two pinned threads")
    let result = try NumberHandover().measure()
    let boost = result.boost
    table.add(
      ResultRow(
        what: "hand-over of 8 bytes, two pinned threads", figure: time(result.ring.median),
        spread: "\(time(result.ring.percentile(5))) … \(time(result.ring.percentile(95)))",
        yardstick: boost.map {
          "Boost spsc_queue \(time($0.median)), \(time($0.percentile(5))) … \(time($0.percentile(95)))"
        } ?? "Boost is not installed",
        ratio: boost.map { plain(result.ring.median / $0.median) } ?? "", budget: "≤ 1"))
  }
}
