import Glibc
import Linux
import Quantities
import Testing

/// Real libusb reaches the mock only in a process that was started with umockdev's preload library: this one starts
/// itself once more for that, with the suites that need it.
enum LibUSBChild {
  private static let key = "INSITUD_MOCK_USBFS"

  /// Where the mock is, in the child; nil in the process that `swift test` started.
  static let root: String? = getenv(key).map { String(cString: $0) }
  static var isHere: Bool { root != nil }

  struct Report {
    var code: Int32
    var output: String
  }

  /// Runs the suite `filter` of this program in a child and waits for it.
  static func run(_ filter: String, within limit: Seconds) throws -> Report {
    var template = Array("/tmp/mock-usbfs.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw LinuxError("mkdtemp") }
    let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer {
      unlink(directory + "/output")
      rmdir(directory)
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, directory + "/output", O_WRONLY | O_CREAT | O_TRUNC, 0o640)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    let ours = [
      "LD_PRELOAD=libumockdev-preload.so.0", "UMOCKDEV_DIR=\(directory)/usb", "\(key)=\(directory)/usb",
      // A crash must not wait at a console.
      "SWIFT_BACKTRACE=interactive=no",
    ]
    var inherited: [String] = []
    var place = environ
    while let variable = place.pointee {
      inherited.append(String(cString: variable))
      place += 1
    }
    let kept = inherited.filter { variable in !ours.contains { variable.hasPrefix($0.prefix { $0 != "=" } + "=") } }
    let program = "/proc/self/exe"
    func copies(_ texts: [String]) -> [UnsafeMutablePointer<CChar>?] { texts.map { strdup($0) } + [nil] }
    var words = copies([program, "--testing-library", "swift-testing", "--filter", filter])
    var variables = copies(kept + ours)
    defer { for word in words + variables { free(word) } }
    var process = pid_t()
    let failure = posix_spawn(&process, program, &actions, nil, &words, &variables)
    guard failure == 0 else { throw LinuxError("posix_spawn", number: failure) }
    var status: Int32 = 0
    let end = MonotonicTime.now + limit
    while waitpid(process, &status, WNOHANG) == 0 {
      if MonotonicTime.now > end {
        kill(process, SIGKILL)
        waitpid(process, &status, 0)
        break
      }
      sleepThread(for: Seconds(0.01))
    }
    let output = String(decoding: (try? FileSystem.read(directory + "/output")) ?? [], as: UTF8.self)
    return Report(code: status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F, output: output)
  }
}
