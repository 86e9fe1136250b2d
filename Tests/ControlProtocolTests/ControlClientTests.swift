import FakeDaemon
import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import Testing
import ZeroMQ

@Suite("The client")
struct ControlClientTests {
  private func failure(_ body: () throws -> Void) -> ControlError? {
    do {
      try body()
      return nil
    } catch {
      return error as? ControlError
    }
  }

  @Test("a call brings the result, or the daemon's own error with its remedy")
  func calls() throws {
    let daemon = try FakeDaemonServer("calls") { request in
      switch request.method {
      case .hello: .success(FakeDaemonServer.hello)
      case .note: .success(["run": "R1", "text": .string(request.text("text") ?? "")])
      default: .failure(ControlError(.busy, "run R1 is going on", remedy: "Stop it.", details: ["run": "R1"]))
      }
    }
    let client = try ControlClient(daemon.endpoint)
    #expect(client.greeting["software"] == "insitud 0.1.0")
    #expect(try client.call(.note, ["text": "dark — frame"])["text"] == "dark — frame")
    let error = failure { _ = try client.call(.runStart, ["protocol": "a: 1", "file": "a.yaml"]) }
    #expect(error == ControlError(.busy, "run R1 is going on", remedy: "Stop it.", details: ["run": "R1"]))
  }

  @Test("an endpoint where no socket is says how to start the daemon")
  func nobody() {
    let error = failure { _ = try ControlClient("ipc:///tmp/insitud-test-nowhere/control") }
    #expect(error?.kind == .unavailable)
    #expect(error?.message.contains("no daemon answers at ipc:///tmp/insitud-test-nowhere/control") == true)
    #expect(error?.remedy.contains("systemctl start insitud") == true)
  }

  @Test("a socket left behind by a dead daemon is told at once")
  func leftBehind() throws {
    let path = "/tmp/insitud-test-left-\(MonotonicTime.now.nanoseconds)"
    // A name that stays when its socket is closed.
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    close(descriptor)
    defer { FileSystem.remove(path) }
    try #require(bound == 0)
    let error = failure { _ = try ControlClient("ipc://\(path)") }
    #expect(error?.kind == .unavailable)
    #expect(error?.message.contains("gone") == true)
  }

  @Test("a directory that may not be entered is a matter of permission", .enabled(if: geteuid() != 0))
  func permission() throws {
    let directory = "/tmp/insitud-test-closed-\(MonotonicTime.now.nanoseconds)"
    try FileSystem.makeDirectories(directory, mode: 0)
    defer { rmdir(directory) }
    let error = failure { _ = try ControlClient("ipc://\(directory)/control") }
    #expect(error?.kind == .permission)
    #expect(error?.remedy.contains("insitud") == true)
  }

  @Test("a daemon that is silent is given up in time")
  func silence() throws {
    let daemon = try FakeDaemonServer("silence") { $0.method == .hello ? .success(FakeDaemonServer.hello) : nil }
    let client = try ControlClient(daemon.endpoint)
    let begin = MonotonicTime.now
    let error = failure { _ = try client.call(.status, within: Seconds(0.05)) }
    #expect(error?.kind == .unavailable)
    #expect(error?.message.contains("“status” within 50.0 ms") == true)
    #expect((MonotonicTime.now - begin).value >= 0.05)
  }

  @Test("the reply to a call that was given up is not taken for that of the next")
  func lateReply() throws {
    let seen = Monitor(0)
    let daemon = try FakeDaemonServer("late") { request in
      if request.method == .hello { return .success(FakeDaemonServer.hello) }
      if request.method == .status {
        // Answers once the client has given up and asked again.
        _ = seen.wait(atMost: Seconds(5)) { $0 > 0 ? true : nil }
        return .success("late")
      }
      return .success("right")
    }
    let client = try ControlClient(daemon.endpoint)
    #expect(failure { _ = try client.call(.status, within: Seconds(0.02)) }?.kind == .unavailable)
    seen.update { $0 = 1 }
    #expect(try client.call(.devices) == "right")
  }

  @Test("a daemon of another protocol version is refused")
  func version() throws {
    let daemon = try FakeDaemonServer("version") { _ in .success(["protocol_version": 2]) }
    let error = failure { _ = try ControlClient(daemon.endpoint) }
    #expect(error?.kind == .configuration)
  }

  @Test("an emergency needs no greeting")
  func emergency() throws {
    let daemon = try FakeDaemonServer("estop") { $0.method == .emergencyStop ? .success(["accepted": true]) : nil }
    let client = try ControlClient(daemon.endpoint, greeting: false)
    #expect(try client.call(.emergencyStop)["accepted"] == true)
  }

  @Test("a protocol too large to send is refused here, because the daemon would hang up")
  func tooLarge() throws {
    let daemon = try FakeDaemonServer("large") { _ in .success(FakeDaemonServer.hello) }
    let client = try ControlClient(daemon.endpoint)
    let large = String(repeating: "\"", count: ControlServerCodec.maximumMessageBytes - 10)
    let error = failure { _ = try client.call(.runStart, ["protocol": .string(large), "file": "a"]) }
    #expect(error?.kind == .data)
  }

  @Test("a readable descriptor ends a wait")
  func interruption() throws {
    let daemon = try FakeDaemonServer("interrupt") { $0.method == .hello ? .success(FakeDaemonServer.hello) : nil }
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer { ends.forEach { close($0) } }
    let client = try ControlClient(daemon.endpoint, interruption: ends[0])
    write(ends[1], "x", 1)
    #expect(failure { _ = try client.call(.status, within: Seconds(30)) }?.kind == .interrupted)
  }

  @Test("a client that sends garbage and ten megabytes leaves the daemon answering the others")
  func garbage() throws {
    let daemon = try FakeDaemonServer("garbage") { _ in .success(FakeDaemonServer.hello) }
    let context = ZeroMQContext()
    let rude = try ZeroMQSocket(context, .dealer)
    try rude.connect(daemon.endpoint)
    try rude.send([[1, 2, 3]])
    try rude.send([[], [], [], []])
    #expect(rude.waitReadable(milliseconds: 5000))
    try rude.send([[UInt8](repeating: 0x5B, count: 10_000_000)])
    let client = try ControlClient(daemon.endpoint)
    #expect(try client.call(.hello)["protocol_version"] == 1)
  }
}
