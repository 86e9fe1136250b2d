import JSON
import Linux
import Quantities

/// What `run start --follow` shows while the run goes on: a redrawn line on a terminal, else a line for each new step
/// and one every five seconds.
struct FollowProgress {
  /// Between two looks at the daemon.
  static let period = Seconds(0.2)
  /// Between two plain lines of the same step.
  static let plainPeriod = Seconds(5)

  /// Nil shows nothing.
  let console: Console?
  private var stepShown: Int64?
  private var lineShown: MonotonicTime?
  private var wasWaiting = false
  private var hasLiveLine = false

  init(console: Console?) { self.console = console }

  /// True while `status` tells that the run `id` goes on.
  static func isRunning(_ id: String, _ status: JSONValue) -> Bool {
    guard status["run"]?["id"]?.string == id, status["state"]?.string != "idle" else { return false }
    let outcome = status["run"]?["outcome"]?.string
    return outcome == nil || outcome == "running"
  }

  mutating func show(_ status: JSONValue, now: MonotonicTime) {
    guard let console else { return }
    if let redraw = console.redraw {
      // One column is left free: a full line would scroll.
      redraw(ProgressLine.live(status, width: console.width() - 1))
      hasLiveLine = true
      return
    }
    let step = status["run"]?["step_index"]?.integer
    let isWaiting = status["state"]?.string == "waiting"
    defer { wasWaiting = isWaiting }
    if let step, step != stepShown {
      console.remark(ProgressLine.step(status))
      stepShown = step
      lineShown = now
    } else if isWaiting != wasWaiting {
      console.remark(isWaiting ? ProgressLine.plain(status) : "  the run goes on")
      lineShown = now
    } else if lineShown.map({ now - $0 >= Self.plainPeriod }) ?? true {
      console.remark(ProgressLine.plain(status))
      lineShown = now
    }
  }

  /// Leaves the live line behind, so that what follows stands below it.
  mutating func end() {
    if hasLiveLine { console?.remark("") }
    hasLiveLine = false
  }
}
