internal import JSON
package import Linux
internal import Quantities

/// The camera's command socket: one line of text per request and reply, one client at a time.
///
/// IDENTIFY, START {"series":…,"period_ns":…,"exposure_ns":…}, STOP and TIME are answered with OK and a JSON object, all
/// else with ERR and a sentence. When the client goes, the camera stops and drains.
package final class CameraPort: CameraOutlet {
  private struct State {
    var client: UnixStream?
    var closing = false
    var connections: UInt64 = 0
  }

  /// Bytes of a request.
  static let longestLine = 4096
  /// A request must be whole this long after its first byte.
  private static let lineLimit = Seconds(2)
  private static let pollInterval = Seconds(0.2)

  private let camera: TwinCamera
  private let listener: UnixListener
  private let state = Monitor(State())
  private let report: @Sendable (String) -> Void
  private let thread = Monitor<NamedThread?>(nil)

  /// Listens at a path. The error's number is EADDRINUSE when a live camera answers there.
  package init(
    path: String, camera: TwinCamera, report: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(LinuxError) {
    self.camera = camera
    self.report = report
    listener = try UnixListener(path)
    thread.update { $0 = NamedThread("twin-cam-port") { [self] in acceptAll() } }
  }

  package var isConnected: Bool { state.read { $0.client != nil } }
  /// Clients served so far.
  package var connections: UInt64 { state.read { $0.connections } }

  /// Ends the client's connection and the thread.
  package func close() {
    state.update {
      $0.closing = true
      $0.client?.shutdown()
    }
    thread.update { running in
      running?.join()
      running = nil
    }
  }

  private func acceptAll() {
    var serving: NamedThread?
    defer { serving?.join() }
    while !state.read({ $0.closing }) {
      let accepted: UnixStream?
      do throws(LinuxError) {
        accepted = try listener.accept(within: Self.pollInterval)
      } catch {
        // Out of descriptors, for instance: others may give some back.
        report("camera port: \(error)")
        sleepThread(for: Seconds(1))
        continue
      }
      guard let stream = accepted else { continue }
      let isFirst = state.update { state in
        guard state.client == nil, !state.closing else { return false }
        state.client = stream
        state.connections += 1
        return true
      }
      if isFirst {
        // The client before is gone, its thread about to end.
        serving?.join()
        serving = NamedThread("twin-cam-client") { [self] in serve(stream) }
      } else {
        try? stream.write(Array("ERR another client is connected; close it first\n".utf8), within: Seconds(0.1))
      }
    }
  }

  private func serve(_ stream: UnixStream) {
    report("camera: client connected\(stream.peer.map { " (process \($0.process))" } ?? "")")
    do throws(LinuxError) {
      while !state.read({ $0.closing }) {
        guard stream.isReadable(within: Self.pollInterval) else { continue }
        let line: String
        do throws(LinuxError) {
          line = try stream.readLine(most: Self.longestLine, within: Self.lineLimit)
        } catch {
          try? stream.write(Array("ERR not a line of at most \(Self.longestLine) bytes: \(error)\n".utf8))
          throw error
        }
        try stream.write(Array((reply(to: line) + "\n").utf8))
      }
    } catch {
      report("camera: client gone (\(error.reason))")
    }
    stream.shutdown()
    _ = try? camera.stop()
    state.update { $0.client = nil }
  }

  /// One request, one reply.
  func reply(to line: String) -> String {
    let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
    let command = words.first.map { String($0).trimmingCarriageReturn } ?? ""
    let argument = words.count > 1 ? String(words[1]).trimmingCarriageReturn : ""
    do throws(TwinCameraError) {
      switch (command, argument.isEmpty) {
      case ("IDENTIFY", true): return identify()
      case ("TIME", true): return ok(["device_ns": .integer(camera.deviceNow)])
      case ("START", false): return try start(argument)
      case ("STOP", true):
        let (series, triggered) = try camera.stop()
        return ok(["series": number(series), "triggered": number(triggered)])
      case ("START", true): throw TwinCameraError("START needs {\"series\":…,\"period_ns\":…,\"exposure_ns\":…}")
      case ("IDENTIFY", _), ("TIME", _), ("STOP", _): throw TwinCameraError("\(command) takes no argument")
      default:
        throw TwinCameraError("unknown request “\(printable(command))”; known: IDENTIFY, START, STOP, TIME")
      }
    } catch {
      return "ERR \(error)"
    }
  }

  private func identify() -> String {
    let settings = camera.settings
    return ok([
      "model": .string(TwinCameraSettings.model), "serial": .string(settings.serial),
      "clock": .string(TwinCameraSettings.clockMeaning), "width": .integer(Int64(settings.width)),
      "height": .integer(Int64(settings.height)), "pixel": "<u2", "ring": .string(camera.ringPath),
    ])
  }

  private func start(_ argument: String) throws(TwinCameraError) -> String {
    let request: JSONValue
    do throws(JSONError) {
      request = try JSONValue(parsing: argument)
    } catch {
      throw TwinCameraError("START: \(printable(error.description))")
    }
    func integer(_ key: String) throws(TwinCameraError) -> Int64 {
      guard let value = request[key]?.integer, value >= 0 else {
        throw TwinCameraError("START: “\(key)” must be a whole number, not negative")
      }
      return value
    }
    let series = UInt64(try integer("series"))
    try camera.start(
      TwinCamera.Request(
        series: series, period_ns: try integer("period_ns"), exposure_ns: try integer("exposure_ns")))
    report("camera: series \(series) started")
    return ok(["series": number(series)])
  }

  private func ok(_ members: [String: JSONValue]) -> String { "OK \(JSONValue.object(members).text)" }
  private func number(_ value: UInt64) -> JSONValue { .integer(Int64(clamping: value)) }

  /// The beginning of foreign text, without control characters.
  private func printable(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(80).map { $0.value < 32 ? "?" : $0 }))
  }
}

extension String {
  fileprivate var trimmingCarriageReturn: String {
    var view = unicodeScalars
    while let last = view.last, last == "\r" || last == " " { view.removeLast() }
    return String(view)
  }
}
