import FrameRing
import JSON
import Linux
import Quantities

/// What the daemon costs: CPU of its process alone, not of the twin that stands beside it.
struct DaemonLoad {
  struct Cost {
    /// Of one core.
    var share: Double
    /// The same by thread, the largest first.
    var threads: [(name: String, share: Double)]
  }

  let daemon: DaemonUnderTest

  /// CPU used while `body` runs.
  private func cost(during body: () throws(BenchmarkError) -> Void) throws(BenchmarkError) -> Cost {
    let process = daemon.process
    let (before, threadsBefore, began) = (process.cpuTime, process.cpuTimeOfThreads, MonotonicTime.now)
    try body()
    let (after, threadsAfter) = (process.cpuTime, process.cpuTimeOfThreads)
    let elapsed = (MonotonicTime.now - began).value
    let threads = threadsAfter.map { (name: $0.key, share: ($0.value - (threadsBefore[$0.key] ?? 0)) / elapsed) }
    return Cost(
      share: (after - before) / elapsed, threads: threads.filter { $0.share > 0.0005 }.sorted { $0.share > $1.share })
  }

  func idle(for span: Seconds) throws(BenchmarkError) -> Cost {
    try cost { sleepThread(for: span) }
  }

  func sampling(seconds: Int) throws(BenchmarkError) -> Cost {
    let run = try daemon.start(BenchmarkProtocol.samples(seconds: seconds + 3))
    // Zero, contacts and first sample take about a second and a half.
    sleepThread(for: Seconds(2.5))
    let cost = try cost { sleepThread(for: Seconds(Double(seconds))) }
    let ended = try daemon.finish(run.id)
    removeDirectory(run.directory)
    try expectComplete(ended)
    return cost
  }

  /// CPU between the 100th frame and the last tenth of the series; what was lost; the run.
  func recording(seconds: Int) throws(BenchmarkError) -> (cost: Cost, received: Int64, lost: Int64) {
    let start = daemon.ring.published
    let run = try daemon.start(BenchmarkProtocol.frames(seconds: seconds))
    defer { removeDirectory(run.directory) }
    try daemon.waitForFrames(100, after: start)
    let cost = try cost { () throws(BenchmarkError) in
      try daemon.waitForFrames(UInt64(seconds * 360), after: start)
    }
    let ended = try daemon.finish(run.id)
    try expectComplete(ended)
    let frames = ended["frames"]
    let received = frames?["received"]?.integer ?? 0
    let written = frames?["written"]?.integer ?? 0
    return (cost, received, (frames?["lost_at_source"]?.integer ?? 0) + received - written)
  }
}

/// A run that did not end as it should gives no figure.
func expectComplete(_ run: JSONValue, outcome: String = "complete") throws(BenchmarkError) {
  guard run["outcome"]?.string == outcome else {
    throw BenchmarkError(
      "the run ended \(run["outcome"]?.string ?? "?") and not \(outcome): \(run["reason"]?.string ?? "")")
  }
}
