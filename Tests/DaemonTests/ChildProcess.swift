import Glibc
import Linux
import Quantities

/// What a test waited for in vain, or a program that could not be used.
struct TestFailure: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// Asks again every 10 ms until there is an answer; throws with the name of what was waited for.
func eventually<R>(within limit: Seconds = Seconds(10), _ what: String, _ question: () throws -> R?) throws -> R {
  let end = MonotonicTime.now + limit
  while true {
    if let answer = try question() { return answer }
    guard MonotonicTime.now < end else { throw TestFailure("\(what): not within \(limit)") }
    sleepThread(for: Seconds(0.01))
  }
}

/// A program started by a test, its output in files. Killed when the test lets go of it.
final class ChildProcess {
  let number: pid_t
  private let outputPath: String
  private let errorPath: String
  private var status: Int32?

  /// - Parameters:
  ///   - program: a path.
  ///   - outputs: beginning of the paths of the two files that take what it prints.
  ///   - environment: beside what this process has, and instead of it.
  init(_ program: String, _ arguments: [String], outputs: String, environment: [String: String] = [:]) throws {
    outputPath = outputs + ".out"
    errorPath = outputs + ".err"
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT | O_TRUNC, 0o640)
    posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_APPEND, 0o640)
    var words = ([program] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    let inherited = Self.environment.filter { entry in !environment.keys.contains { entry.hasPrefix($0 + "=") } }
    var settings = (inherited + environment.map { "\($0)=\($1)" }).map { strdup($0) } + [nil]
    defer { for setting in settings { free(setting) } }
    var process = pid_t()
    let failure = posix_spawn(&process, program, &actions, nil, &words, &settings)
    guard failure == 0 else { throw TestFailure("\(program): \(String(cString: strerror(failure)))") }
    number = process
  }

  /// That of this process, as "NAME=value".
  private static var environment: [String] {
    var all: [String] = []
    var at = environ
    while let entry = at.pointee {
      all.append(String(cString: entry))
      at += 1
    }
    return all
  }

  deinit { kill() }

  var output: String { Self.text(outputPath) }
  var errors: String { Self.text(errorPath) }

  private static func text(_ path: String) -> String {
    String(decoding: (try? FileSystem.read(path, limit: 64 << 20)) ?? [], as: UTF8.self)
  }

  /// The exit code, or 128 and the signal's number; nil while it runs.
  var exitCode: Int32? {
    if status == nil {
      var value: Int32 = 0
      guard waitpid(number, &value, WNOHANG) == number else { return nil }
      status = value
    }
    return status.map { $0 & 0x7F == 0 ? ($0 >> 8) & 0xFF : 128 + ($0 & 0x7F) }
  }

  func waitForExit(within limit: Seconds = Seconds(10)) throws -> Int32 {
    try eventually(within: limit, "end of process \(number)") { exitCode }
  }

  func send(_ signal: Int32) { if exitCode == nil { _ = Glibc.kill(number, signal) } }

  func kill() {
    guard exitCode == nil else { return }
    _ = Glibc.kill(number, SIGKILL)
    _ = try? waitForExit()
  }
}

/// The programs that were built with these tests, which lie beside them.
enum Programs {
  static let directory: String = {
    var path = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &path, path.count - 1)
    let own = String(decoding: path.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return own.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
  }()
  static let daemon = directory + "/insitud"
  static let control = directory + "/insituctl"

  /// Names a python that has what `Tests/requirements.txt` lists; nil where the variable is not set.
  static let python = getenv("INSITUD_PYTHON").map { String(cString: $0) }
  static let hasNoPython = "INSITUD_PYTHON names no python with the packages of Tests/requirements.txt"
  /// A script of the directory `Tests`.
  static func script(_ name: String, from file: String = #filePath) -> String {
    file.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/") + "/" + name
  }
}
