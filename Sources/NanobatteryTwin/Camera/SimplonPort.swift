internal import FrameRing
internal import JSON
package import Linux
import Pixels
internal import Quantities

/// The command side of a DECTRIS detector control unit: SIMPLON API 1.8 over HTTP, before a `SimplonSender`
/// (camera-streams.md §1, §2).
///
/// `GET` and `PUT` of `/detector/api/…/config/KEY` and `/stream/api/…/config/KEY`, `PUT` of
/// `/detector/api/…/command/{initialize,arm,trigger,cancel,disarm,abort}`. `trigger` answers when the series is over.
package final class SimplonPort: Sendable {
  private struct State {
    var isClosing = false
    var clients: [UInt64: NamedThread] = [:]
    var accepted: UInt64 = 0
    /// Clients that are gone; their threads are to be joined.
    var gone: [UInt64] = []
    var detector: [String: JSONValue]
    var stream: [String: JSONValue] = ["mode": "disabled", "format": "legacy", "header_detail": "basic"]
    var refusesTrigger = false
    /// Requests so far, as "PUT /path body", the last `mostNoted`.
    var noted: [String] = []
  }

  static let mostImages: Int64 = 2_000_000_000
  /// Requests that are remembered.
  private static let mostNoted = 1000
  private static let longestLine = 4096
  private static let mostHeaders = 100
  /// At once.
  private static let mostClients = 64
  private static let mostBody = 65536
  private static let requestLimit = Seconds(2)
  private static let poll = Seconds(0.1)
  /// For the end of a series that is being stopped.
  private static let endPatience = Seconds(5)
  private static let readOnly: Set<String> = [
    "description", "detector_number", "x_pixels_in_detector", "y_pixels_in_detector", "bit_depth_image",
  ]

  /// `HOST:PORT` that is bound.
  package let address: String
  private let version: String
  private let sender: SimplonSender
  private let listener: TCPListener
  private let state: Monitor<State>
  private let report: @Sendable (String) -> Void
  private let thread = Monitor<NamedThread?>(nil)

  /// - Parameter address: `HOST:PORT`; port 0 is chosen by the system.
  package init(
    _ address: String, sender: SimplonSender, version: String = "1.8.0",
    report: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(LinuxError) {
    self.version = version
    self.sender = sender
    self.report = report
    listener = try TCPListener(address)
    self.address = listener.address
    let wire = sender.settings.wire
    let camera = sender.camera.settings
    state = Monitor(
      State(detector: [
        "description": .string(SimplonWire.model), "detector_number": .string(wire.serial),
        "x_pixels_in_detector": .integer(Int64(camera.width)), "y_pixels_in_detector": .integer(Int64(camera.height)),
        "bit_depth_image": .integer(Int64(wire.pixelType.bytesPerPixel * 8)), "nimages": 1, "ntrigger": 1,
        "trigger_mode": "ints", "count_time": 0.0096, "frame_time": 0.01,
        "compression": .string(wire.compression.rawValue),
      ]))
    thread.update { $0 = NamedThread("twin-dcu") { [self] in acceptAll() } }
  }

  /// The requests that came, the oldest first.
  package var requests: [String] { state.read { $0.noted } }

  /// The next trigger is refused.
  package func refuseTrigger() { state.update { $0.refusesTrigger = true } }

  package func close() {
    state.update { $0.isClosing = true }
    thread.update { running in
      running?.join()
      running = nil
    }
    for client in state.update({ $0.clients }).values { client.join() }
    state.update { $0.clients = [:] }
  }

  private var isClosing: Bool { state.read { $0.isClosing } || sender.state.read { $0.isClosing } }

  private func acceptAll() {
    while !isClosing {
      let accepted = try? listener.accept(within: Self.poll)
      let gone = state.update { state in
        defer { state.gone = [] }
        return state.gone.compactMap { state.clients.removeValue(forKey: $0) }
      }
      for client in gone { client.join() }
      guard let stream = accepted, state.read({ $0.clients.count }) < Self.mostClients else { continue }
      state.update { state in
        let number = state.accepted
        state.accepted += 1
        state.clients[number] = NamedThread("twin-dcu-client") { [self] in
          serve(stream)
          self.state.update { $0.gone.append(number) }
        }
      }
    }
  }

  // MARK: HTTP

  private struct Request {
    var method: String
    var path: [String]
    var body: [UInt8]
  }

  private struct Reply {
    var status = 200
    var body: JSONValue
  }

  private func serve(_ stream: UnixStream) {
    do throws(LinuxError) {
      while !isClosing {
        guard stream.isReadable(within: Self.poll) else { continue }
        guard let request = try read(stream) else { return }
        let reply = answer(request)
        // A detector that is switched off answers nothing.
        if isClosing { break }
        let body = reply.body.bytes
        let reason = reply.status == 200 ? "OK" : reply.status == 404 ? "Not Found" : "Bad Request"
        let head =
          "HTTP/1.1 \(reply.status) \(reason)\r\nContent-Type: application/json\r\nContent-Length: \(body.count)\r\n\r\n"
        try stream.write(Array(head.utf8) + body, within: Self.requestLimit)
      }
    } catch {
      // The client is gone; so is its connection.
    }
    stream.shutdown()
  }

  private func read(_ stream: UnixStream) throws(LinuxError) -> Request? {
    func line() throws(LinuxError) -> String {
      let line = try stream.readLine(most: Self.longestLine, within: Self.requestLimit)
      return String(decoding: line.utf8.filter { $0 != 13 }, as: UTF8.self)
    }
    let words = try line().split(separator: " ")
    guard words.count == 3 else { return nil }
    var length = 0
    for _ in 0..<Self.mostHeaders {
      let header = try line()
      if header.isEmpty { break }
      let parts = header.split(separator: ":", maxSplits: 1)
      if parts.count == 2, parts[0].lowercased() == "content-length" {
        length = Int(parts[1].filter { $0 != " " }) ?? -1
      }
    }
    guard (0...Self.mostBody).contains(length) else { return nil }
    let body = length == 0 ? [] : try stream.readExactly(length, within: Self.requestLimit)
    state.update {
      $0.noted.append("\(words[0]) \(words[1]) \(String(decoding: body, as: UTF8.self))")
      if $0.noted.count > Self.mostNoted { $0.noted.removeFirst() }
    }
    return Request(
      method: String(words[0]), path: words[1].split(separator: "/").map(String.init), body: body)
  }

  // MARK: The API

  private func answer(_ request: Request) -> Reply {
    let path = request.path
    if path == ["detector", "api", "version"] { return value(.string(version)) }
    guard path.count == 5, path[1] == "api", path[2] == version else {
      return no(404, "there is no /\(path.joined(separator: "/"))")
    }
    switch (request.method, path[0], path[3]) {
    case ("GET", "detector", "config"): return setting(path[4], of: state.read { $0.detector })
    case ("GET", "stream", "config"): return setting(path[4], of: state.read { $0.stream })
    case ("GET", "detector", "status") where path[4] == "state": return value(.string(status))
    case ("PUT", _, "config"):
      guard let new = (try? JSONValue(parsing: request.body))?["value"] else {
        return no(400, "no value")
      }
      return path[0] == "stream" ? setStream(path[4], new) : setDetector(path[4], new)
    case ("PUT", "detector", "command"): return command(path[4])
    default: return no(404, "there is no \(request.method) /\(path.joined(separator: "/"))")
    }
  }

  private func value(_ value: JSONValue) -> Reply { Reply(body: ["value": value, "access_mode": "r"]) }
  private func no(_ status: Int, _ text: String) -> Reply { Reply(status: status, body: ["error": .string(text)]) }

  private func setting(_ key: String, of settings: [String: JSONValue]) -> Reply {
    guard let found = settings[key] else { return no(404, "there is no \(key)") }
    if key == "nimages" { return Reply(body: ["value": found, "min": 1, "max": .integer(Self.mostImages)]) }
    return value(found)
  }

  private var status: String {
    switch sender.state.read({ $0.phase }) {
    case .idle: "idle"
    case .armed: "ready"
    case .running: "acquire"
    }
  }

  private func setStream(_ key: String, _ new: JSONValue) -> Reply {
    switch (key, new.string) {
    case ("mode", "enabled"), ("mode", "disabled"), ("header_detail", "all"), ("header_detail", "basic"),
      ("header_detail", "none"):
      break
    // What it sends is decided by its own configuration.
    case ("format", sender.settings.wire.version.rawValue): break
    default: return no(400, "\(key) cannot be \(new.text)")
    }
    state.update { $0.stream[key] = new }
    return Reply(body: [.string(key)])
  }

  private func setDetector(_ key: String, _ new: JSONValue) -> Reply {
    guard status == "idle" else { return no(400, "the detector is armed") }
    guard state.read({ $0.detector[key] }) != nil, !Self.readOnly.contains(key) else {
      return no(404, "\(key) cannot be set")
    }
    var changed = [key]
    let shortest = Double(TwinCameraSettings.shortestPeriod) * 1e-9
    switch key {
    case "nimages", "ntrigger":
      guard let count = new.integer, 1...Self.mostImages ~= count else {
        return no(400, "\(key) cannot be \(new.text)")
      }
      state.update { $0.detector[key] = new }
    case "count_time", "frame_time":
      guard let time = new.double, time > 0, time < 3600 else { return no(400, "\(key) cannot be \(new.text)") }
      state.update { state in
        let period = state.detector["frame_time"]?.double ?? 0
        let exposure = state.detector["count_time"]?.double ?? 0
        if key == "count_time" {
          state.detector[key] = new
          // The period makes room for the exposure.
          if time > period {
            state.detector["frame_time"] = new
            changed.append("frame_time")
          }
        } else {
          state.detector[key] = .number(max(time, exposure, shortest))
        }
      }
    case "trigger_mode":
      guard new.string == "ints" else { return no(400, "this detector has no trigger input: ints alone is possible") }
      state.update { $0.detector[key] = new }
    default: return no(404, "\(key) cannot be set")
    }
    return Reply(body: .array(changed.map { .string($0) }))
  }

  private func command(_ name: String) -> Reply {
    switch name {
    case "initialize": return Reply(body: [:])
    case "arm": return arm()
    case "trigger": return trigger()
    case "cancel":
      stop()
      return sequence
    case "disarm", "abort":
      stop()
      sender.state.update { $0.isEndDue = true }
      let isOver = waitForEnd(atMost: Self.endPatience)
      return isOver ? sequence : no(400, "the series does not end")
    default: return no(404, "there is no command \(name)")
    }
  }

  private var sequence: Reply {
    Reply(body: ["sequence id": .integer(Int64(clamping: sender.state.read { $0.series.number }))])
  }

  private func arm() -> Reply {
    let settings = state.read { $0 }
    guard settings.stream["mode"]?.string == "enabled" else { return no(400, "the stream is disabled") }
    let images = settings.detector["nimages"]?.integer ?? 1
    let triggers = settings.detector["ntrigger"]?.integer ?? 1
    guard triggers == 1 else { return no(400, "this detector takes one trigger for a series") }
    let isArmed = sender.state.update { state in
      guard state.phase == .idle else { return false }
      state.series.number += 1
      state.series.images = UInt64(images)
      state.series.period_ns = Int64((settings.detector["frame_time"]?.double ?? 0.01) * 1e9)
      state.series.exposure_ns = Int64((settings.detector["count_time"]?.double ?? 0.0096) * 1e9)
      state.phase = .armed
      state.isStartDue = true
      state.isTriggered = false
      state.isEndDue = false
      return true
    }
    guard isArmed else { return no(400, "the detector is armed already") }
    report("simplon: armed for series \(sender.state.read { $0.series.number })")
    return sequence
  }

  private func trigger() -> Reply {
    let isRefused = state.update { state in
      defer { state.refusesTrigger = false }
      return state.refusesTrigger
    }
    if isRefused { return no(400, "the trigger is refused, as was asked for") }
    let isFirst = sender.state.update { state in
      guard state.phase == .armed, !state.isTriggered, !state.isEndDue else { return false }
      state.isTriggered = true
      return true
    }
    guard isFirst else { return no(400, "the detector is not armed") }
    while !isClosing, !waitForEnd(atMost: Self.poll) {}
    return Reply(body: [:])
  }

  /// Ends the exposures, if there are any.
  private func stop() {
    let isRunning = sender.state.wait(atMost: Self.endPatience) { state -> Bool? in
      switch state.phase {
      case .idle: false
      case .armed: state.isTriggered ? nil : false
      case .running: true
      }
    }
    if isRunning == true { _ = try? sender.camera.stop() }
  }

  private func waitForEnd(atMost span: Seconds) -> Bool {
    sender.state.wait(atMost: span) { $0.phase == .idle ? true : nil } ?? false
  }
}
