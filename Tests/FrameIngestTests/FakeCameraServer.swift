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
  }

  let directory: TemporaryDirectory
  let ring: FrameRing
  var socketPath: String { directory.path + "/camera" }
  private let state: Monitor<State>
  private var port: Port?

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

  func close() { port = nil }

  private func listen() { port = try? Port(socketPath, state, ring) }

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

  /// The thread behind the socket, as long as the object lives.
  private final class Port: @unchecked Sendable {
    private let isClosed = Monitor(false)
    private let connection = Monitor<UnixStream?>(nil)
    private let thread: NamedThread

    init(_ path: String, _ state: Monitor<State>, _ ring: FrameRing) throws {
      let listener = try UnixListener(path)
      let service = Service(state: state, ring: ring)
      thread = NamedThread("fake-camera") { [isClosed, connection] in
        while !isClosed.read({ $0 }) {
          guard let peer = try? listener.accept(within: Seconds(0.02)) else { continue }
          connection.update { $0 = peer }
          service.serve(peer) { isClosed.read { $0 } }
          connection.update { $0 = nil }
        }
      }
    }

    deinit {
      isClosed.update { $0 = true }
      connection.read { $0?.shutdown() }
      thread.join()
    }
  }

  private struct Service: Sendable {
    let state: Monitor<State>
    let ring: FrameRing

    func serve(_ connection: UnixStream, until isClosed: () -> Bool) {
      while !isClosed(), let line = try? connection.readLine(within: Seconds(30)) {
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
        return state.read {
          #"OK {"series":\#($0.series ?? 0),"triggered":\#($0.behaviour.triggered ?? $0.nextFrame)}"#
        }
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
