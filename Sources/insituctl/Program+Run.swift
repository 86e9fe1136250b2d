import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities

extension Program {
  func startRun(_ path: String, name: String?, compression: String?, follows: Bool) throws(ControlError) -> Int32 {
    let file = try ProtocolFile(path)
    var parameters: [String: JSONValue] = ["protocol": .string(file.text), "file": .string(file.name)]
    if let name { parameters["name"] = .string(name) }
    if let compression { parameters["compression"] = .string(compression) }
    guard follows else {
      let client = try ControlClient(invocation.endpoint)
      // A start may wait for instruments and for the making of the run's directory.
      let begun = try client.call(.runStart, parameters, within: Seconds(30))
      remarkWarnings(begun)
      try output(begun, text: Self.started)
      return ExitCode.well
    }
    let signals = try signalDescriptor()
    let client = try ControlClient(invocation.endpoint, interruption: signals.number)
    let begun: JSONValue
    do throws(ControlError) {
      begun = try client.call(.runStart, parameters, within: Seconds(30))
    } catch  where error.kind == .interrupted {
      throw ControlError(
        .interrupted, "interrupted while the run was being started; it may go on",
        remedy: "See: insituctl status; to end it: insituctl run stop.")
    }
    guard let id = begun["id"]?.string else {
      throw ControlError(.software, "the daemon started a run without naming it", remedy: "See: insituctl status.")
    }
    if !invocation.quiet { Self.started(begun).forEach(console.remark) }
    remarkWarnings(begun)
    return try follow(id, client, signals)
  }

  /// What the daemon doubts of a protocol that it carries out all the same.
  private func remarkWarnings(_ begun: JSONValue) {
    guard !invocation.quiet else { return }
    for warning in begun["warnings"]?.array ?? [] { console.remark("warning: \(warning.string ?? warning.text)") }
  }

  private static func started(_ result: JSONValue) -> [String] {
    ["Run \(result["id"]?.string ?? "?") “\(result["name"]?.string ?? "")” in \(result["directory"]?.string ?? "?")"]
  }

  func signalDescriptor() throws(ControlError) -> SignalDescriptor {
    do throws(LinuxError) {
      return try SignalDescriptor([SIGINT, SIGTERM])
    } catch {
      throw ControlError(.software, "\(error)")
    }
  }

  /// Shows the run's progress until it ends or the operator leaves.
  private func follow(_ id: String, _ client: ControlClient, _ signals: borrowing SignalDescriptor)
    throws(ControlError) -> Int32
  {
    var progress = FollowProgress(console: invocation.quiet ? nil : console)
    do throws(ControlError) {
      while true {
        let status = try client.call(.status)
        if FollowProgress.isRunning(id, status) {
          progress.show(status, now: .now)
        } else {
          let run = try client.call(.runsShow, ["id": .string(id)])
          if let outcome = run["outcome"]?.string, outcome != "running" {
            progress.end()
            try output(run) { RunText.summary($0, steps: false) }
            return ExitCode.of(outcome: outcome)
          }
        }
        if let signal = signals.next(within: FollowProgress.period) { return try detach(id, &progress, signal) }
      }
    } catch  where error.kind == .interrupted {
      return try detach(id, &progress, signals.next(within: .zero) ?? SIGINT)
    } catch {
      progress.end()
      throw error
    }
  }

  private func detach(_ id: String, _ progress: inout FollowProgress, _ signal: Int32) throws(ControlError) -> Int32 {
    progress.end()
    console.remark("detached; the run goes on: insituctl status, insituctl run stop")
    if invocation.json { try output(["detached": true, "id": .string(id)]) { _ in [] } }
    return 128 + signal
  }
}
