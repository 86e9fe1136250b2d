import Glibc
import Linux
import Quantities

/// A program that is run beside this one.
struct ChildProcess {
  let id: pid_t

  /// - Parameters:
  ///   - output: a file for what it says (standard output and standard error).
  ///   - input: a descriptor to be its standard input.
  init(_ program: String, _ arguments: [String], output: String, input: Int32? = nil) throws(BenchmarkError) {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o640)
    unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
    if let input { unsafe posix_spawn_file_actions_adddup2(&actions, input, 0) }
    var words = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
    defer { unsafe words.forEach { unsafe free($0) } }
    var process = pid_t()
    let failure = unsafe posix_spawnp(&process, program, &actions, nil, &words, environ)
    guard failure == 0 else {
      throw BenchmarkError("\(program) cannot be started: \(LinuxError("spawn", number: failure).reason)")
    }
    id = process
  }

  /// Exit status when it has ended within `limit`, 128 + signal when it was killed; nil while it runs.
  func ended(within limit: Seconds) -> Int32? {
    let end = MonotonicTime.now + limit
    while true {
      var status: Int32 = 0
      if unsafe waitpid(id, &status, WNOHANG) == id {
        return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F
      }
      guard MonotonicTime.now < end else { return nil }
      sleepThread(for: Seconds(0.01))
    }
  }

  /// Asks it to end, and insists after `patience`.
  func end(patience: Seconds = Seconds(15)) {
    kill(id, SIGTERM)
    if ended(within: patience) == nil {
      kill(id, SIGKILL)
      _ = ended(within: Seconds(5))
    }
  }

  /// CPU time it has used, user and system.
  var cpuTime: Double {
    var clock = clockid_t()
    guard unsafe clock_getcpuclockid(id, &clock) == 0 else { return .nan }
    var t = timespec()
    unsafe clock_gettime(clock, &t)
    return Double(t.tv_sec) + Double(t.tv_nsec) / 1e9
  }

  /// CPU time of each of its threads by name; threads of one name together.
  var cpuTimeOfThreads: [String: Double] { Self.cpuTimeOfThreads(of: id) }

  static func cpuTimeOfThreads(of id: pid_t) -> [String: Double] {
    var times: [String: Double] = [:]
    for thread in (try? FileSystem.list("/proc/\(id)/task")) ?? [] {
      let place = "/proc/\(id)/task/\(thread)"
      guard let name = try? FileSystem.read(place + "/comm"), let stat = try? FileSystem.read(place + "/schedstat"),
        let nanoseconds = Double(text(stat).split(separator: " ").first ?? "")
      else { continue }
      times[text(name), default: 0] += nanoseconds / 1e9
    }
    return times
  }

  /// Resident memory without shared memory, which is the ring: anonymous pages and mapped files (proc(5), status).
  var residentBytesWithoutShared: Double {
    let status = (try? FileSystem.read("/proc/\(id)/status")).map(text) ?? ""
    return ["RssAnon:", "RssFile:"].reduce(0) { sum, name in
      let line = status.split(separator: "\n").first { $0.hasPrefix(name) } ?? ""
      return sum + 1024 * (Double(line.dropFirst(name.count).split { $0 == " " || $0 == "\t" }.first ?? "") ?? .nan)
    }
  }
}

/// A small file's text without its line end.
func text(_ bytes: [UInt8]) -> String {
  var bytes = bytes
  while bytes.last == 10 { bytes.removeLast() }
  return String(decoding: bytes, as: UTF8.self)
}

/// CPU time of the calling thread.
func threadCPUTime() -> Double {
  var t = timespec()
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t)
  return Double(t.tv_sec) + Double(t.tv_nsec) / 1e9
}
