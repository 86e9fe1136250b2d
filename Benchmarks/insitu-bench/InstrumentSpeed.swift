import Glibc
import Linux
import Potentiostat
import Quantities
import USB

/// One potentiostat of the twin through its driver: how long a question takes, how many samples a second it keeps up, and
/// what that costs this process.
struct InstrumentSpeed {
  struct Figures {
    /// A question to the error queue; where there is none, the three of the identity.
    var question: Spread
    /// Samples per second, by the instrument's own clock, and as asked for.
    var samplesPerSecond: Double
    var askedPerSecond: Double
    /// Samples that the instrument's stamps say are missing.
    var missing: Int
    /// Share of one core: this process, while sampling.
    var share: Double
  }

  let bus: any USBBus
  let settings: PotentiostatSettings

  private static let questions = 300
  private static let span = Seconds(5)

  func measure() throws(BenchmarkError) -> Figures {
    do throws(InstrumentError) {
      guard let model = PotentiostatModels.named(settings.model) else {
        throw .unable(device: settings.model, reason: "no such model")
      }
      let instrument = try model.open(bus, settings)
      defer { instrument.close() }
      var times: [Double] = []
      for _ in 0..<Self.questions {
        let began = MonotonicTime.now
        _ = try instrument.errors()
        times.append((MonotonicTime.now - began).value)
      }
      let period = max(instrument.shortestPeriod, Seconds(0.001))
      try instrument.prepare(
        Acquisition(
          period: period, currentRange: Amperes(1e-6), voltageRange: Volts(2),
          limits: CellLimits(voltage: Volts(-1)...Volts(1), current: Amperes(-1e-6)...Amperes(1e-6))))
      _ = try instrument.begin(.voltage(Volts(0.1)), present: Volts(0.1)) { _ in true }
      var samples: [Sample] = []
      let began = MonotonicTime.now
      let cpu = processCPUTime()
      while MonotonicTime.now - began < Self.span {
        samples += try instrument.poll().samples
        sleepThread(for: Seconds(min(0.05, max(0.002, period.value * 0.617))))
      }
      let used = processCPUTime() - cpu
      let elapsed = MonotonicTime.now - began
      try instrument.open()
      guard samples.count > 2, let first = samples.first, let last = samples.last else {
        throw .unexpected(device: settings.model, command: "sampling", answer: "\(samples.count) samples")
      }
      let stamps = samples.map(\.deviceNanoseconds)
      let steps = zip(stamps.dropFirst(), stamps).map { Double($0 - $1) }
      let usual = Spread(steps).median
      let missing = steps.reduce(0) { $0 + max(0, Int(($1 / usual).rounded()) - 1) }
      let length = Seconds(nanoseconds: last.deviceNanoseconds - first.deviceNanoseconds)
      return Figures(
        question: Spread(times), samplesPerSecond: Double(samples.count - 1) / length.value,
        askedPerSecond: 1 / period.value, missing: missing, share: used.value / elapsed.value)
    } catch { throw BenchmarkError("\(settings.model): \(error)") }
  }
}

/// `insitu-twin` with one model of potentiostat, for as long as this lives.
final class TwinOfModel {
  private let process: ChildProcess
  let socket: String

  init(_ model: String, programs: String, work: String, runtime: String) throws(BenchmarkError) {
    let directory = "\(runtime)/\(model)"
    let file = "\(work)/\(model).yaml"
    do throws(LinuxError) {
      try FileSystem.makeDirectories(directory)
      try FileSystem.replace(
        file,
        with: Array("twin: {potentiostat: {model: \(model)}, camera: {width: 64, height: 64}}\n".utf8))
    } catch { throw BenchmarkError("\(error)") }
    socket = "\(directory)/twin-usb"
    process = try ChildProcess(
      "\(programs)/insitu-twin", ["--config", file, "--runtime", directory], output: "\(work)/\(model).log")
    let end = MonotonicTime.now + Seconds(10)
    while !FileSystem.exists(socket), MonotonicTime.now < end { sleepThread(for: Seconds(0.02)) }
  }

  deinit { process.end() }
}
