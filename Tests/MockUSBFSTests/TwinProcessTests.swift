import Glibc
import Linux
import Quantities
import Testing
import TwinBench

@Suite("The twin shows its instruments to libusb")
struct TwinProcessTests {
  @Test("insitu-twin with usb_mock: questions, a planned unplug, the return, an orderly end")
  func plannedUnplug() throws {
    var template = Array("/dev/shm/twin.XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let runtime = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { removeTree(runtime) }
    let configuration = """
      twin:
        usb_mock: "{runtime}/usb"
        camera: {width: 64, height: 64}
        faults: [{unplug: potentiostat, after_output_on: 200 ms, replug_after: 100 ms}]

      """
    try FileSystem.replace(runtime + "/twin.yaml", with: Array(configuration.utf8))
    let twin = try Twin(["--config", runtime + "/twin.yaml", "--runtime", runtime])
    defer { twin.kill() }
    // The device files come last but one of all that a twin makes.
    try twin.wait {
      FileSystem.exists(runtime + "/usb/sys/bus/usb/devices/1-2") && FileSystem.exists(runtime + "/twin-usb")
    }

    let probe = try PreloadedProgram(PreloadedProgram.directory + "/usb-probe", root: runtime + "/usb")
    defer { probe.kill() }
    try probe.ask("watch")
    try probe.ask("open smu usbtmc 05E6:2450:04412345")
    #expect(try probe.ask("query smu 2 *IDN?").hasPrefix("KEITHLEY INSTRUMENTS,MODEL 2450"))
    try probe.ask("open holder usbtmc 1209:0B10")
    #expect(try probe.ask("query holder 2 *IDN?").hasPrefix("OPENHOLDER,OBH-1"))
    try probe.ask("send smu :OUTP ON")
    try probe.event("left 05e6:2450 04412345")
    #expect(try probe.refusal("query smu 2 *IDN?").contains("unplugged"))
    #expect(try probe.ask("query holder 2 *IDN?").hasPrefix("OPENHOLDER,OBH-1"))
    try probe.ask("close smu")
    try probe.event("arrived 05e6:2450")
    try probe.ask("open smu usbtmc 05E6:2450:04412345")
    #expect(try probe.ask("query smu 2 *IDN?").hasPrefix("KEITHLEY INSTRUMENTS,MODEL 2450"))
    try probe.ask("close smu")
    try probe.ask("close holder")

    twin.terminate()
    #expect(try twin.exitCode() == 0)
    #expect(!FileSystem.exists(runtime + "/usb/sys"))
    try probe.event("left")
    #expect(try probe.refusal("open smu usbtmc 05E6:2450").contains("no USB device at all"))
  }

  @Test("--usb takes a mock's directory only")
  func wrongOption() throws {
    let twin = try Twin(["--config", "/dev/null", "--runtime", "/nowhere", "--usb", "usbip:3240"])
    #expect(try twin.exitCode() == 64)
  }
}

/// A twin as a child of this process, its words thrown away.
private final class Twin {
  private let process: pid_t
  private var code: Int32?

  init(_ arguments: [String]) throws {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    let program = PreloadedProgram.directory + "/insitu-twin"
    let words = ([program] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var process = pid_t()
    let failure = posix_spawn(&process, program, &actions, nil, words, environ)
    guard failure == 0 else { throw LinuxError("posix_spawn", program, number: failure) }
    self.process = process
  }

  func wait(_ condition: () -> Bool) throws {
    let end = MonotonicTime.now + Seconds(10)
    while !condition() {
      guard MonotonicTime.now < end else { throw LinuxError("wait", number: ETIMEDOUT) }
      sleepThread(for: Seconds(0.005))
    }
  }

  func terminate() { if code == nil { _ = Glibc.kill(process, SIGTERM) } }

  func exitCode() throws -> Int32 {
    try wait {
      var status: Int32 = 0
      if code == nil, waitpid(process, &status, WNOHANG) == process { code = (status >> 8) & 0xFF }
      return code != nil
    }
    return try #require(code)
  }

  func kill() {
    guard code == nil else { return }
    _ = Glibc.kill(process, SIGKILL)
    _ = try? exitCode()
  }
}

private func removeTree(_ path: String) {
  for name in (try? FileSystem.list(path)) ?? [] where unlink("\(path)/\(name)") != 0 { removeTree("\(path)/\(name)") }
  rmdir(path)
}
