import CIntakeProbe
import FrameIngest
import FrameRing
import Glibc
import Linux
import Quantities

/// `intake-probe SOURCE FRAMES [WASTE]`: runs a receiver on its `CameraThread`, fed by the twin's own sender, and prints what the
/// thread did from frame 100 to frame 100 + FRAMES, beside the receive itself:
///
///     frames 300 allocations 0 frees 0 locks 0 requests 0 foreign 0 lines 0
///     within receives 812 allocations 930 …
///
/// With WASTE (memory, lock, call or line) the receiver does that for every frame, on purpose.
@main
struct Main {
  private static let first = 100
  private static let patience = Seconds(60)

  static func main() {
    guard intake_can_count() != 0 else { leave("a sanitizer has the functions to be counted for itself", 69) }
    let words = CommandLine.arguments.dropFirst()
    guard words.count >= 2, let kind = words.first.flatMap(Source.Kind.init),
      let frames = Int(words.dropFirst().first!),
      words.count < 3 || CountedCamera.Waste(rawValue: words.last!) != nil
    else { leave("usage: intake-probe SOURCE FRAMES [WASTE]", 64) }
    let waste = words.count < 3 ? nil : CountedCamera.Waste(rawValue: words.last!)
    let directory = "/dev/shm/intake-probe-\(getpid())"
    do {
      try FileSystem.makeDirectories(directory)
      defer { remove(directory) }
      try run(kind, frames, waste, directory)
    } catch { leave("\(error)", 70) }
  }

  private static func run(_ kind: Source.Kind, _ frames: Int, _ waste: CountedCamera.Waste?, _ directory: String) throws
  {
    let source = try Source(kind, directory: directory)
    let ring = try FrameRing.create(
      directory + "/ring", slots: 64, slotBytes: Source.width * Source.height * 2, memory: .ordinary)
    let isDone = Monitor(false)
    let isOver = Monitor(false)
    let reader = NamedThread("probe-reader") {
      var next: UInt64 = 0
      while !isOver.read({ $0 }) {
        guard ring.waitForPublished(beyond: next, atMost: Seconds(0.01)) else { continue }
        next = ring.published
        ring.release(through: next - 1)
      }
    }
    let camera = CountedCamera(
      try CameraModels.make(source.settings), frames: first..<(first + frames), waste: waste, isDone: isDone)
    let problems = Monitor<[String]>([])
    let thread = CameraThread(camera, ring: ring) { report in
      // Told now and then, and not for a frame; a line that is told for each would be.
      if case .warning = report { intake_line() }
      intake_pause()
      defer { intake_resume() }
      switch report {
      case .warning(let text): problems.update { $0.append(text) }
      case .disconnected(let error), .refused(_, let error): problems.update { $0.append("\(error)") }
      default: break
      }
    }
    let period = Seconds(nanoseconds: Source.period_ns)
    thread.send(.record(ExposureRequest(series: 1, framePeriod: period, exposure: period * 0.9), step: 0))
    let came = isDone.wait(atMost: patience) { $0 ? true : nil } == true
    thread.send(.close)
    thread.join()
    isOver.update { $0 = true }
    reader.join()
    guard came else { leave("too few frames came; \(problems.read { $0 }.joined(separator: "; "))", 70) }
    tell(frames)
    withExtendedLifetime(source) {}
    // The senders have threads of their own, which need not be waited for.
    fflush(nil)
    remove(directory)
    _exit(0)
  }

  private static func tell(_ frames: Int) {
    var (outside, within) = (intake_counts(), intake_counts())
    unsafe intake_result(&outside, &within)
    print(
      "frames \(frames) allocations \(outside.allocations) frees \(outside.frees) locks \(outside.locks) "
        + "requests \(outside.requests) foreign \(outside.foreign) lines \(outside.lines)")
    print(
      "within receives \(outside.receives + within.receives) allocations \(within.allocations) "
        + "locks \(within.locks) foreign \(within.foreign + within.requests)")
    intake_print_places()
  }

  private static func remove(_ directory: String) {
    for name in (try? FileSystem.list(directory)) ?? [] { FileSystem.remove("\(directory)/\(name)") }
    unsafe _ = rmdir(directory)
  }

  private static func leave(_ text: String, _ code: Int32) -> Never {
    print("intake-probe: \(text)")
    fflush(nil)
    _exit(code)
  }
}
