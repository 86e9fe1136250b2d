import ControlProtocol
import FrameRing
import Glibc
import JSON
import Linux
import Quantities

/// The real `insitud` with its twin, started for the benchmark in directories of its own.
final class DaemonUnderTest {
  let process: ChildProcess
  let streams: String
  /// What the twin knows, as it wrote it down.
  let truth: String
  let ring: FrameRing
  private let client: ControlClient
  private let work: String

  /// - Parameters:
  ///   - programs: the directory of `insitud` and `insitu-twin`.
  ///   - configuration: config/twin.yaml.
  ///   - work: an empty directory on the disk that is recorded to.
  ///   - runtime: a short path for sockets.
  init(programs: String, configuration: String, work: String, runtime: String) throws(BenchmarkError) {
    self.work = work
    truth = runtime + "/truth"
    let process = try ChildProcess(
      programs + "/insitud", ["--config", configuration, "--runtime", runtime, "--data", work + "/data"],
      output: work + "/insitud.log")
    self.process = process
    do {
      // For run.sh, should this program be killed.
      try FileSystem.replace(work + "/insitud.pid", with: Array("\(process.id)\n".utf8))
      client = try Self.connect("ipc://\(runtime)/control", process)
      streams = client.greeting["endpoints"]?["streams"]?.string ?? ""
      ring = try FrameRing.open(
        "/dev/shm/insitud-" + runtime.split(separator: "/").joined(separator: "-") + "-ring", writable: false)
    } catch {
      process.end()
      throw BenchmarkError("\(error); what the daemon said is in \(work)/insitud.log")
    }
  }

  private static func connect(_ endpoint: String, _ process: ChildProcess) throws(BenchmarkError) -> ControlClient {
    let end = MonotonicTime.now + Seconds(15)
    while true {
      do throws(ControlError) { return try ControlClient(endpoint) } catch {
        guard MonotonicTime.now < end, process.ended(within: Seconds(0)) == nil else {
          throw BenchmarkError("the daemon did not come up: \(error)")
        }
      }
      sleepThread(for: Seconds(0.1))
    }
  }

  /// Starts a run; gives its id and directory.
  func start(_ text: String) throws(BenchmarkError) -> (id: String, directory: String) {
    do throws(ControlError) {
      let answer = try client.call(.runStart, ["protocol": .string(text), "file": "benchmark.yaml"])
      return (answer["id"]?.string ?? "", answer["directory"]?.string ?? "")
    } catch { throw BenchmarkError("a run cannot be started: \(error)") }
  }

  /// Waits for the end of the run; gives what `runs.show` says of it.
  func finish(_ id: String) throws(BenchmarkError) -> JSONValue {
    let end = MonotonicTime.now + Seconds(60)
    do throws(ControlError) {
      while MonotonicTime.now < end {
        if try client.call(.status)["state"]?.string == "idle" {
          return try client.call(.runsShow, ["id": .string(id)])
        }
        sleepThread(for: Seconds(0.1))
      }
    } catch { throw BenchmarkError("run \(id): \(error)") }
    throw BenchmarkError("run \(id) does not end")
  }

  /// Waits until `frames` more frames than `start` are in the ring.
  func waitForFrames(_ frames: UInt64, after start: UInt64) throws(BenchmarkError) {
    guard ring.waitForPublished(beyond: start + frames - 1, atMost: Seconds(30)) else {
      throw BenchmarkError("the camera of the twin does not deliver; see \(work)/insitud.log")
    }
  }

  func end() {
    process.end()
    FileSystem.remove(work + "/insitud.pid")
  }
}

/// Protocols made for the benchmark.
enum BenchmarkProtocol {
  private static func text(_ name: String, voltage: String = "[-0.5 V, 4.5 V]", _ steps: [String]) -> String {
    """
    protocol: 1
    name: \(name)
    limits: {voltage: \(voltage), current: [-100 pA, 100 pA]}
    acquire: {sample: 10 ms, range: 10 nA}
    steps:

    """ + steps.map { "  - \($0)\n" }.joined()
  }

  /// 100 samples per second and no frames.
  static func samples(seconds: Int) -> String { text("samples", ["Rest for \(seconds) s"]) }

  /// 400 frames and 100 samples per second.
  static func frames(seconds: Int) -> String {
    text("frames", ["Charge at 0.1 pA for \(seconds) s:\n      record: 400 fps"])
  }

  /// Up to a limit that is crossed on a slope of about 1 V/s, from about the same state each time. The instrument's own
  /// compliance is the wider of the two limits: with a wide lower one it does not hold the voltage back before the upper.
  static let trip = text(
    "trip", voltage: "[-4.5 V, \(tripVoltage) V]",
    ["Discharge at 40 pA for 3 s or until 3.4 V", "Rest for 0.3 s", "Charge at 40 pA for 5 s"])
  static let tripVoltage = 3.8
}
