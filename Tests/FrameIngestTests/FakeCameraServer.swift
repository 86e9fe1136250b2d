import FrameRing
import Glibc
import JSON
import Linux
import Quantities

/// The camera side of the shared-memory port: answers requests on its own thread; frames come when the test says so.
final class FakeCameraServer: @unchecked Sendable {
  struct Behaviour: Sendable {
    /// Answers by request word in place of the right ones.
    var answers: [String: String] = [:]
    var showsEndMarker = true
    /// What STOP says was triggered; nil: the number of the last frame sent, and one.
    var triggered: UInt64?
  }

  private struct State {
    var behaviour = Behaviour()
    var requests: [String] = []
    var series: UInt64?
    var nextFrame: UInt64 = 0
    var connection: UnixStream?
    var isClosed = false
  }

  let directory: TemporaryDirectory
  let ring: FrameRing
  var socketPath: String { directory.path + "/camera" }
  private let state: Monitor<State>
  private var thread: NamedThread?

  init(_ behaviour: Behaviour = Behaviour(), slots: Int = 8, slotBytes: Int = 4096) throws {
    directory = try TemporaryDirectory()
    ring = try FrameRing.create(directory.path + "/camera-ring", slots: slots, slotBytes: slotBytes)
    state = Monitor(State(behaviour: behaviour))
    listen()
  }

  /// The camera's process dies and comes back; the ring stays as it is.
  func restart() {
    close()
    state.update { $0 = State(behaviour: $0.behaviour) }
    listen()
  }

  func close() {
    state.update { state in
      state.isClosed = true
      state.connection?.shutdown()
    }
    thread?.join()
  }

  var requests: [String] { state.read { $0.requests } }

  /// Waits until a request that begins with `word` has been answered `times` times.
  func waitForRequest(_ word: String, times: Int = 1) -> Bool {
    state.wait(atMost: Seconds(5)) { state in
      state.requests.filter { $0.hasPrefix(word) }.count >= times ? true : nil
    } ?? false
  }

  /// Puts a 4 × 2 frame of `value` into the camera's ring, as the camera would.
  @discardableResult
  func send(
    _ number: UInt64? = nil, value: UInt16 = 5, series: UInt64? = nil,
    change: (inout FrameHeader) -> Void = { _ in }
  ) -> UInt64? {
    let (current, next) = state.update { state -> (UInt64, UInt64) in
      let number = number ?? state.nextFrame
      state.nextFrame = max(state.nextFrame, number + 1)
      return (state.series ?? 0, number)
    }
    return ring.write { header, room in
      header = FrameHeader(
        frameNumber: next, deviceNanoseconds: 1000 * Int64(next), exposureNanoseconds: 900,
        arrival: MonotonicTime(nanoseconds: 1), series: series ?? current, width: 4, height: 2)
      let pixels = room.bindMemory(to: UInt16.self)
      for index in 0..<8 { pixels[index] = value &+ UInt16(index) }
      header.pixelCRC = crc32c(UnsafeRawBufferPointer(rebasing: room[..<16]))
      change(&header)
      return true
    }
  }

  private func listen() {
    guard let listener = try? UnixListener(socketPath) else { return }
    // Weak, so that the thread ends with the test that made the server.
    thread = NamedThread("fake-camera") { [weak self] in
      while let self, !self.state.read({ $0.isClosed }) {
        guard let connection = try? listener.accept(within: Seconds(0.02)) else { continue }
        self.state.update { $0.connection = connection }
        self.serve(connection)
        self.state.update { $0.connection = nil }
      }
    }
  }

  private func serve(_ connection: UnixStream) {
    while let line = try? connection.readLine(within: Seconds(30)) {
      let answer = reply(to: line)
      state.update { $0.requests.append(line) }
      guard (try? connection.write(Array((answer + "\n").utf8))) != nil else { return }
      if line == "STOP" { showEnd() }
    }
  }

  private func reply(to line: String) -> String {
    let word = String(line.prefix { $0 != " " })
    if let answer = state.read({ $0.behaviour.answers[word] }) { return answer }
    let body = try? JSONValue(parsing: String(line.dropFirst(word.count)))
    switch word {
    case "IDENTIFY":
      return
        #"OK {"model":"fake","serial":"F1","clock":"ns since power-up","width":4,"height":2,"pixel":"<u2","ring":""#
        + ring.path + #""}"#
    case "START":
      let series = UInt64(body?["series"]?.integer ?? 0)
      state.update { state in
        state.series = series
        state.nextFrame = 0
      }
      return #"OK {"series":\#(series)}"#
    case "STOP":
      return state.read { #"OK {"series":\#($0.series ?? 0),"triggered":\#($0.behaviour.triggered ?? $0.nextFrame)}"# }
    case "TIME": return #"OK {"device_ns":123456789}"#
    default: return "ERR unknown request"
    }
  }

  private func showEnd() {
    let (shows, series, triggered) = state.read {
      ($0.behaviour.showsEndMarker, $0.series ?? 0, $0.behaviour.triggered ?? $0.nextFrame)
    }
    guard shows else { return }
    _ = ring.write { header, _ in
      header = FrameHeader(frameNumber: triggered, series: series, flags: .seriesEnd)
      return true
    }
  }
}

/// A directory in shared memory that goes with the object.
final class TemporaryDirectory: Sendable {
  let path: String

  init() throws {
    path = "/dev/shm/insitud-ingest-\(getpid())-\(String(UInt64.random(in: 0 ... .max), radix: 16))"
    try FileSystem.makeDirectories(path)
  }

  deinit {
    for name in (try? FileSystem.list(path)) ?? [] { FileSystem.remove(path + "/" + name) }
    rmdir(path)
  }
}
