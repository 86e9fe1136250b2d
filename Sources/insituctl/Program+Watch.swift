import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities

extension Program {
  /// Shows the state until Ctrl-C.
  func watch() throws(ControlError) -> Int32 {
    let signals = try signalDescriptor()
    let client = try ControlClient(invocation.endpoint, interruption: signals.number)
    let isLive = console.redraw != nil && console.isTerminal && !invocation.json
    if !isLive && !invocation.json && !invocation.quiet { console.print(WatchTable.heading) }
    defer { if isLive { console.remark("") } }
    do throws(ControlError) {
      while true {
        let status = try client.call(.status)
        if invocation.json {
          console.print(status.text)
        } else if isLive {
          console.redraw?(ProgressLine.live(status, width: console.width() - 1))
        } else {
          let now = Int(HostClockReading.now.unixNanoseconds / 1_000_000_000)
          console.print(WatchTable.row(status, time: Wording.localTime(unixSeconds: now, format: "%H:%M:%S")))
        }
        if signals.next(within: isLive ? FollowProgress.period : Seconds(1)) != nil { return ExitCode.well }
      }
    } catch  where error.kind == .interrupted {
      return ExitCode.well
    }
  }

  /// Prints a stream as NDJSON until Ctrl-C, or until `count` messages have come.
  func subscribe(_ topic: String, count: Int?) throws(ControlError) -> Int32 {
    let signals = try signalDescriptor()
    let endpoint = try streamEndpoint(signals.number)
    let prefix = topic == "all" ? "" : topic.contains("/") ? topic : topic + "/"
    let subscriber = try StreamSubscriber(endpoint, prefix: prefix, interruption: signals.number)
    var left = count ?? .max
    var missed: [String: Int64] = [:]
    while left > 0 {
      if let message = try subscriber.next(within: Seconds(1)) {
        let lost = subscriber.missed[message.topic, default: 0] - missed[message.topic, default: 0]
        if lost > 0 {
          missed[message.topic, default: 0] += lost
          if !invocation.quiet { console.remark("insituctl: \(message.topic): \(lost) messages missed") }
        }
        console.print(StreamLine.document(message).text)
        left -= 1
      }
      if signals.next(within: .zero) != nil { break }
    }
    return ExitCode.well
  }

  private func streamEndpoint(_ interruption: Int32) throws(ControlError) -> String {
    let client = try ControlClient(invocation.endpoint, interruption: interruption)
    return client.greeting["endpoints"]?["streams"]?.string ?? ControlEndpoint.streams
  }
}
