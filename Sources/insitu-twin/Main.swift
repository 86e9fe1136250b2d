import Glibc
import Linux
import NanobatteryTwin
import Quantities

/// `insitu-twin`: the instruments of the laboratory in software, as a process of its own.
@main
struct Main {
  static let version = "0.1.0"

  static func main() {
    // A daemon that dies takes our standard error with it; that must not end the instruments.
    _ = signal(SIGPIPE, SIG_IGN)
    leavePreloadedUSB()
    do throws(TwinFailure) {
      let words = Array(CommandLine.arguments.dropFirst())
      if AttachOptions.isAskedFor(words) { return try attach(words) }
      guard let options = try TwinOptions(words) else { return }
      let signals = try receiveSignals()
      var configuration = try readConfiguration(options.configurationFile, runtime: options.runtime)
      if let truth = options.truth { configuration.truth = truth }
      if let usbMock = options.usbMock { configuration.usbMock = usbMock }
      if options.onlyChecks { return }
      let twin = try TwinProcess(configuration, runtime: options.runtime)
      twin.run(idleExit: options.idleExit, signals: signals)
    } catch {
      say(error.text)
      exit(error.exitCode)
    }
  }

  /// The instruments for a kernel's own USB, until a signal comes.
  private static func attach(_ words: [String]) throws(TwinFailure) {
    guard let options = try AttachOptions(words) else { return }
    let signals = try receiveSignals()
    let twin = try AttachedTwin(try readConfiguration(options.configurationFile, runtime: "."), options)
    if options.front == .describe { return twin.describe() }
    twin.run(signals: signals)
  }

  /// A daemon that finds its USB in a mock starts its twin with the same environment. The twin is that mock: with its own
  /// device files diverted to itself it would wait for itself. So it begins again without the preloaded library.
  private static func leavePreloadedUSB() {
    guard let preloaded = unsafe getenv("LD_PRELOAD").map({ unsafe String(cString: $0) }),
      preloaded.contains("umockdev-preload")
    else { return }
    unsafe _ = unsetenv("LD_PRELOAD")
    unsafe _ = unsetenv("UMOCKDEV_DIR")
    unsafe _ = execv("/proc/self/exe", CommandLine.unsafeArgv)
    say("cannot begin again without LD_PRELOAD=\(preloaded): \(LinuxError("execv").reason); start it without")
    exit(EX_OSERR)
  }

  /// SIGHUP is taken in too, and left alone: the twin does not depend on a terminal.
  private static func receiveSignals() throws(TwinFailure) -> SignalDescriptor {
    do throws(LinuxError) {
      return try SignalDescriptor([SIGTERM, SIGINT, SIGHUP])
    } catch {
      throw TwinFailure(error, remedy: "allow more open files")
    }
  }

  private static func readConfiguration(_ file: String, runtime: String) throws(TwinFailure) -> TwinConfiguration {
    let bytes: [UInt8]
    do throws(LinuxError) {
      bytes = try FileSystem.read(file, limit: 1 << 20)
    } catch {
      throw TwinFailure(EX_NOINPUT, "\(error); give the path of a configuration file with --config")
    }
    do throws(TwinConfigurationError) {
      return try TwinConfiguration(parsing: bytes, file: file, runtime: runtime)
    } catch {
      throw TwinFailure(EX_CONFIG, error.description)
    }
  }
}

/// Why the twin ends before it has begun: exit code of sysexits.h and one line.
struct TwinFailure: Error {
  var exitCode: Int32
  var text: String
  init(_ exitCode: Int32, _ text: String) {
    self.exitCode = exitCode
    self.text = text
  }

  /// A failed system call on one of the twin's files: no permission, or something else.
  init(_ error: LinuxError, remedy: String) {
    let denied = [EACCES, EPERM, EROFS].contains(error.number)
    self.init(denied ? EX_NOPERM : EX_OSERR, "\(error); \(remedy)")
  }
}

/// One line to standard error, whole, whether or not anybody still reads it.
///
/// Never blocks: where nobody empties a pipe, lines are left out. A pipe that says it is writable takes 4096 bytes.
func say(_ text: String) {
  let line = Array("insitu-twin: \(text)".utf8.prefix(4000)) + [10]
  var entry = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
  guard unsafe poll(&entry, 1, 0) == 1 else { return }
  unsafe _ = line.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
