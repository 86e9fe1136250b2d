import Glibc
import Linux
package import Quantities

/// A program that was started to find its USB in a directory, and that talks in lines.
package final class PreloadedProgram {
  package struct Failure: Error, CustomStringConvertible {
    package var description: String
  }

  private let process: pid_t
  private let input: FileDescriptor
  private let output: FileDescriptor
  private var pending: [UInt8] = []
  private var events: [String] = []
  private var status: Int32?

  /// - Parameters:
  ///   - program: a path.
  ///   - root: that of a mock of usbfs.
  package init(_ program: String, _ arguments: [String] = [], root: String) throws {
    var toChild: [Int32] = [-1, -1]
    var fromChild: [Int32] = [-1, -1]
    guard unsafe pipe(&toChild) == 0, unsafe pipe(&fromChild) == 0 else { throw LinuxError("pipe") }
    for number in toChild + fromChild { _ = fcntl(number, F_SETFD, FD_CLOEXEC) }
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
    // The sanitizers want to be the first library of a program, which the preloaded one is.
    let own = [
      "UMOCKDEV_DIR=\(root)", "LD_PRELOAD=libumockdev-preload.so.0", "ASAN_OPTIONS=verify_asan_link_order=0",
    ]
    let words = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
    let settings = unsafe (Self.inherited() + own).map { unsafe strdup($0) } + [nil]
    defer { unsafe (words + settings).forEach { unsafe free($0) } }
    var process = pid_t()
    let failure = unsafe posix_spawn(&process, program, &actions, nil, words, settings)
    close(toChild[0])
    close(fromChild[1])
    input = FileDescriptor(owning: toChild[1])
    output = FileDescriptor(owning: fromChild[0])
    self.process = process
    guard failure == 0 else { throw LinuxError("posix_spawn", program, number: failure) }
  }

  deinit { kill() }

  private static func inherited() -> [String] {
    var all: [String] = []
    var at = unsafe environ
    while let text = unsafe at.pointee {
      all.append(unsafe String(cString: text))
      unsafe at += 1
    }
    return all.filter { entry in !["UMOCKDEV_DIR=", "LD_PRELOAD=", "ASAN_OPTIONS="].contains { entry.hasPrefix($0) } }
  }

  /// The programs that were built with these tests, which lie beside them.
  package static let directory: String = {
    var path = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink("/proc/self/exe", &path, path.count - 1)
    let own = String(decoding: path.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return own.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
  }()

  /// `usb-probe`, the daemon's own USB client.
  package static func probe(_ bench: MockBench) throws -> PreloadedProgram {
    try PreloadedProgram(directory + "/usb-probe", root: bench.root)
  }

  // MARK: lines

  package func write(_ line: String) throws {
    let bytes = Array(line.utf8) + [10]
    let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(input.number, $0.baseAddress, $0.count) }
    guard count == bytes.count else { throw LinuxError("write") }
  }

  /// The next line of any kind.
  package func line(within limit: Seconds = Seconds(10)) throws -> String {
    let end = MonotonicTime.now + limit
    while true {
      if let stop = pending.firstIndex(of: 10) {
        let line = String(decoding: pending[..<stop], as: UTF8.self)
        pending.removeFirst(stop + 1)
        return line
      }
      var entry = pollfd(fd: output.number, events: Int16(POLLIN), revents: 0)
      let left = max(0, (end - .now).nanoseconds / 1_000_000)
      guard unsafe poll(&entry, 1, Int32(left)) > 0 else {
        throw Failure(description: "no line from the program within \(limit)")
      }
      var chunk = [UInt8](repeating: 0, count: 65536)
      let count = unsafe read(output.number, &chunk, chunk.count)
      guard count > 0 else { throw Failure(description: "the program ended") }
      pending += chunk[..<count]
    }
  }

  /// What a probe answers to a command: its line after `ok`; throws what comes after `error`.
  @discardableResult
  package func ask(_ command: String, within limit: Seconds = Seconds(10)) throws -> String {
    try write(command)
    while true {
      let line = try line(within: limit)
      let words = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
      let rest = words.count > 1 ? String(words[1]) : ""
      switch words.first {
      case "ok": return rest
      case "error": throw Failure(description: rest)
      case "event": events.append(rest)
      default: throw Failure(description: "unexpected line: \(line)")
      }
    }
  }

  /// The error that a command gives.
  package func refusal(_ command: String, within limit: Seconds = Seconds(10)) throws -> String {
    do {
      let answer = try ask(command, within: limit)
      throw Failure(description: "“\(command)” was not refused but answered: \(answer)")
    } catch let failure as Failure { return failure.description }
  }

  /// The next event of a probe that begins with `prefix`; events before it are dropped.
  @discardableResult
  package func event(_ prefix: String, within limit: Seconds = Seconds(10)) throws -> String {
    while true {
      let event = events.isEmpty ? try nextEvent(prefix, limit) : events.removeFirst()
      if event.hasPrefix(prefix) { return event }
    }
  }

  private func nextEvent(_ wanted: String, _ limit: Seconds) throws -> String {
    let line = try line(within: limit)
    guard line.hasPrefix("event ") else { throw Failure(description: "“\(line)” while waiting for event \(wanted)") }
    return String(line.dropFirst(6))
  }

  // MARK: its end

  /// The exit code, or 128 and the signal's number.
  package func waitForExit(within limit: Seconds = Seconds(10)) throws -> Int32 {
    let end = MonotonicTime.now + limit
    while true {
      if let status { return status }
      var value: Int32 = 0
      if unsafe waitpid(process, &value, WNOHANG) == process {
        status = value & 0x7F == 0 ? (value >> 8) & 0xFF : 128 + (value & 0x7F)
        continue
      }
      guard MonotonicTime.now < end else { throw Failure(description: "the program did not end within \(limit)") }
      sleepThread(for: Seconds(0.005))
    }
  }

  package func kill() {
    guard status == nil else { return }
    _ = Glibc.kill(process, SIGKILL)
    _ = try? waitForExit()
  }
}
