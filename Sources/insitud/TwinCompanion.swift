import Glibc
import Journal
import Linux
import Quantities

/// The instruments' twin as a process beside the daemon: started when no twin answers, taken over when one does. Like
/// instruments it lives on when the daemon is killed; it ends when the daemon ends in order.
final class TwinCompanion {
  private let process: pid_t
  private let wasStarted: Bool

  private init(process: pid_t, wasStarted: Bool) {
    self.process = process
    self.wasStarted = wasStarted
  }

  /// - Parameters:
  ///   - command: program, looked for beside this one first.
  ///   - socket: where a twin listens.
  static func begin(command: String, configuration: String, runtime: String, socket: String, journal: Journal)
    throws(ConfigurationError) -> TwinCompanion
  {
    if (try? UnixStream.connect(socket)) != nil {
      let bytes = (try? FileSystem.read("\(runtime)/twin.pid", limit: 64)) ?? []
      let process = pid_t(String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self)) ?? 0
      journal.log(.notice, "the twin of process \(process) is there already and goes on")
      return TwinCompanion(process: process, wasStarted: false)
    }
    let program = beside(command)
    let process = try start(program, ["--config", configuration, "--runtime", runtime])
    let end = MonotonicTime.now + Seconds(10)
    while (try? UnixStream.connect(socket)) == nil {
      var status: Int32 = 0
      if unsafe waitpid(process, &status, WNOHANG) == process {
        throw ConfigurationError(description: "the twin (\(program)) ended at once; what it said stands above")
      }
      guard MonotonicTime.now < end else {
        throw ConfigurationError(description: "the twin (\(program)) does not listen at \(socket)")
      }
      sleepThread(for: Seconds(0.02))
    }
    journal.log(.info, "twin started, process \(process)")
    return TwinCompanion(process: process, wasStarted: true)
  }

  /// Lets the twin check its own section of the configuration; what it says goes to standard error.
  /// - Returns: its exit code; nil when it cannot be started.
  static func check(command: String, configuration: String, runtime: String) -> Int32? {
    let arguments = ["--config", configuration, "--runtime", runtime, "--check-config"]
    guard let process = try? start(beside(command), arguments) else { return nil }
    var status: Int32 = 0
    guard unsafe waitpid(process, &status, 0) == process else { return nil }
    return status >> 8 & 0xFF
  }

  /// Ends the twin.
  func end() {
    guard process > 1 else { return }
    kill(process, SIGTERM)
    let limit = MonotonicTime.now + Seconds(5)
    var status: Int32 = 0
    while MonotonicTime.now < limit {
      let gone = wasStarted ? unsafe waitpid(process, &status, WNOHANG) == process : kill(process, 0) != 0
      if gone { return }
      sleepThread(for: Seconds(0.02))
    }
  }

  /// The program in this program's own directory, or by its name in PATH.
  private static func beside(_ command: String) -> String {
    guard !command.contains("/") else { return command }
    var path = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink("/proc/self/exe", &path, path.count - 1)
    guard count > 0 else { return command }
    let own = String(decoding: path.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let directory = own.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    let candidate = directory + "/" + command
    return FileSystem.exists(candidate) ? candidate : command
  }

  private static func start(_ program: String, _ arguments: [String]) throws(ConfigurationError) -> pid_t {
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    // A session of its own: neither the terminal's Ctrl-C nor its hang-up reaches instruments. Signals that this
    // daemon blocks must not stay blocked there.
    // 0x80 is POSIX_SPAWN_SETSID, which Glibc's module hides.
    let flags = Int16(0x80) | Int16(POSIX_SPAWN_SETSIGMASK)
    unsafe posix_spawnattr_setflags(&attributes, flags)
    var none = sigset_t()
    unsafe sigemptyset(&none)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)

    var words = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
    defer { unsafe words.forEach { unsafe free($0) } }
    var process = pid_t()
    let failure = unsafe posix_spawnp(&process, program, nil, &attributes, &words, environ)
    guard failure == 0 else {
      throw ConfigurationError(
        description: "the twin cannot be started: \(program): \(LinuxError("spawn", number: failure).reason)")
    }
    return process
  }
}
