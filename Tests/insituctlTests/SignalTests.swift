import FakeDaemon
import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import Testing

@Suite("The program as a process", .serialized)
struct SignalTests {
  /// insituctl, started as a process of its own with pipes behind its standard streams.
  private final class Child {
    let process: pid_t
    private(set) var output: Int32
    let errors: Int32

    init(_ words: [String]) throws {
      var link = [CChar](repeating: 0, count: 4096)
      let length = readlink("/proc/self/exe", &link, link.count - 1)
      try #require(length > 0)
      let tests = String(decoding: link[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      // The products of a build lie beside each other.
      let path = tests.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/insituctl"
      try #require(FileSystem.exists(path), "insituctl is built beside the tests")
      var out: [Int32] = [0, 0]
      var err: [Int32] = [0, 0]
      try #require(pipe(&out) == 0)
      try #require(pipe(&err) == 0)
      for descriptor in out + err { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
      var actions = posix_spawn_file_actions_t()
      posix_spawn_file_actions_init(&actions)
      posix_spawn_file_actions_adddup2(&actions, out[1], 1)
      posix_spawn_file_actions_adddup2(&actions, err[1], 2)
      var arguments = ([path] + words).map { strdup($0) } + [nil]
      var child = pid_t()
      let failure = posix_spawn(&child, path, &actions, nil, &arguments, environ)
      posix_spawn_file_actions_destroy(&actions)
      arguments.forEach { free($0) }
      close(out[1])
      close(err[1])
      (output, errors) = (out[0], err[0])
      process = child
      try #require(failure == 0)
    }

    /// Everything from `descriptor` up to the line that contains `text`, or to the end.
    func read(_ descriptor: Int32, until text: String? = nil) -> String {
      var all: [UInt8] = []
      var byte: UInt8 = 0
      while Glibc.read(descriptor, &byte, 1) == 1 {
        all.append(byte)
        if byte == 10, let text, String(decoding: all, as: UTF8.self).contains(text) { break }
      }
      return String(decoding: all, as: UTF8.self)
    }

    func closeOutput() {
      close(output)
      output = -1
    }

    /// Exit code, or 128 and the signal, as a shell tells it.
    func end() -> Int32 {
      var status: Int32 = 0
      waitpid(process, &status, 0)
      close(errors)
      if output >= 0 { close(output) }
      return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F
    }
  }

  private func daemon(_ name: String) throws -> FakeDaemonServer {
    try FakeDaemonServer(name) { request in
      switch request.method {
      case .hello: .success(FakeDaemonServer.hello)
      case .runStart: .success(["id": "01JRUN", "name": "x", "directory": "/d"])
      default: .success(Fixtures.status())
      }
    }
  }

  @Test("Ctrl-C while following detaches, says that the run goes on, and ends with 130")
  func detach() throws {
    let daemon = try daemon("detach")
    let path = "/tmp/insitud-test-detach-\(MonotonicTime.now.nanoseconds).yaml"
    try FileSystem.replace(path, with: Array("protocol: 1\n".utf8))
    defer { FileSystem.remove(path) }
    let child = try Child(["run", "start", path, "--follow", "--endpoint", daemon.endpoint])
    let begin = child.read(child.errors, until: "step 3 of 14")
    #expect(begin.hasPrefix("Run 01JRUN “x” in /d\n"))
    kill(child.process, SIGINT)
    #expect(child.read(child.errors).contains("detached; the run goes on"))
    #expect(child.end() == 130)
  }

  @Test("Ctrl-C while the beam is calibrated has the daemon stop it, and ends with 130")
  func calibration() throws {
    let stops = Monitor(0)
    let isAsked = Monitor(false)
    let daemon = try FakeDaemonServer("calibration") { request in
      switch request.method {
      case .beamCalibrate:
        isAsked.update { $0 = true }
        return nil
      case .hello: return .success(FakeDaemonServer.hello)
      case .beamStop:
        stops.update { $0 += 1 }
        return .success(["accepted": true])
      default: return nil
      }
    }
    let child = try Child(["beam", "calibrate", "--endpoint", daemon.endpoint])
    #expect(child.read(child.errors, until: "Ctrl-C stops").contains("on vacuum"))
    #expect(isAsked.wait(atMost: Seconds(20)) { $0 ? true : nil } == true)
    kill(child.process, SIGINT)
    #expect(child.read(child.errors).contains("nothing is kept"))
    #expect(child.end() == 130)
    #expect(stops.read { $0 } == 1)
  }

  @Test("Ctrl-C ends watch well")
  func watch() throws {
    let daemon = try daemon("watch")
    let child = try Child(["watch", "--endpoint", daemon.endpoint])
    #expect(child.read(child.output, until: "running").contains("voltage"))
    kill(child.process, SIGINT)
    #expect(child.end() == 0)
  }

  @Test("a reader that has seen enough ends the program without a word")
  func brokenPipe() throws {
    let daemon = try daemon("pipe")
    let child = try Child(["watch", "--json", "--endpoint", daemon.endpoint])
    #expect(child.read(child.output, until: "2 pA formation").hasPrefix("{"))
    child.closeOutput()
    #expect(child.read(child.errors) == "")
    #expect(child.end() == 128 + SIGPIPE)
  }
}
