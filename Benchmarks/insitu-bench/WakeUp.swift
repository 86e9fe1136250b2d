import Glibc
import Linux
import Quantities

/// The yardstick of every latency: eight bytes through a pipe wake a process that sleeps in read(2). At the pace of the
/// frames, for a core that has slept longer wakes later.
enum WakeUp {
  /// The argument that makes this program the other side.
  static let argument = "--answer-pipe"

  /// Seconds from write to wake.
  static func measure(count: Int, period: Seconds, work: String) throws(BenchmarkError) -> Spread {
    var ends: [Int32] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { throw BenchmarkError("no pipe: \(LinuxError("pipe").reason)") }
    let result = work + "/wake-up"
    defer { FileSystem.remove(result) }
    // Only the child's standard input may keep the reading end open.
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    let child = try ChildProcess("/proc/self/exe", [argument], output: result, input: ends[0])
    close(ends[0])
    for _ in 0..<count {
      sleepThread(for: period)
      var stamp = MonotonicTime.now.nanoseconds
      unsafe _ = write(ends[1], &stamp, 8)
    }
    close(ends[1])
    guard child.ended(within: Seconds(10)) == 0, let bytes = try? FileSystem.read(result) else {
      throw BenchmarkError("the process at the other end of the pipe failed")
    }
    return Spread(text(bytes).split(separator: "\n").compactMap { Double($0) })
  }

  /// The other side: prints a latency for each stamp until the pipe ends.
  static func answer() {
    var latencies: [Double] = []
    var stamp: Int64 = 0
    while unsafe read(0, &stamp, 8) == 8 { latencies.append((MonotonicTime.now.nanoseconds - stamp).seconds) }
    print(latencies.map { "\($0)" }.joined(separator: "\n"))
  }
}

extension Int64 {
  /// Nanoseconds as seconds.
  var seconds: Double { Double(self) / 1e9 }
}
