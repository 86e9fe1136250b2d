import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import RunStore
import SQLite

/// A daemon of its own for one test, with its twin, in a temporary directory whose path is short enough for sockets.
/// Whatever happens in the test: daemon and twin are ended and the directory is removed with this object.
final class Laboratory {
  /// What differs from test to test in the configuration; all else is written below.
  struct Settings {
    var side = 256
    var heartbeat = "1 s"
    var ringFrames = 128
    var keepFree = "100 MB"
    /// `potentiostat.model` and `potentiostat.usb`.
    var model = "keithley-2450"
    var usb = "05E6:2450"
    /// Replaces the twin's camera.
    var camera: String?
    /// Keys of the cameras by name, in place of `camera`.
    var cameras: [(name: String, keys: String)] = []
    /// More keys of the twin's camera where it is not replaced.
    var ownCamera = ""
    /// Another place for the data.
    var data: String?
    /// Value of `storage.segment`.
    var segment = "1 GB"
    /// Value of `storage.degrade`.
    var degrade: String?
    /// Of the beam; nil where nobody configured any.
    var doseRate: String? = "2.5"
    /// More keys of `twin.camera`.
    var twinCamera: [String] = []
    /// `obh-1`, `passive`, or nil for none; without the first the twin's cell is wired to its potentiostat.
    var holder: String? = "obh-1"
    /// The instruments are reached by libusb, which finds them in the twin's mock of usbfs.
    var libUSB = false
    /// Lines of `twin.cell` and `twin.faults`.
    var cell: [String] = []
    var faults: [String] = []
  }

  let path: String
  private let environment: [String: String]
  private(set) var daemon: ChildProcess?
  private var daemons = 0
  private var twins: Set<pid_t> = []

  let data: String
  var runtime: String { path + "/run" }
  var configuration: String { path + "/insitud.yaml" }
  var endpoint: String { "ipc://\(runtime)/control" }
  var streams: String { "ipc://\(runtime)/streams" }

  init(_ settings: Settings = Settings()) throws {
    // A mock of usbfs is many small files, which belong on a tmpfs.
    let place = settings.libUSB && FileSystem.isWritable("/dev/shm") ? "/dev/shm" : "/tmp"
    var template = Array("\(place)/insitud-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestFailure("no temporary directory can be made in \(place)") }
    let made = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    path = made
    data = settings.data ?? made + "/data"
    // The sanitizers want to be the first library of a program, which the preloaded one is.
    environment =
      settings.libUSB
      ? [
        "UMOCKDEV_DIR": path + "/usb", "LD_PRELOAD": "libumockdev-preload.so.0",
        "ASAN_OPTIONS": "verify_asan_link_order=0",
      ] : [:]
    try write(configuration, Self.yaml(path, settings))
  }

  deinit { end() }

  private static func yaml(_ path: String, _ settings: Settings) -> String {
    let own = settings.ownCamera.isEmpty ? "" : ", \(settings.ownCamera)"
    let single = settings.camera ?? #"{model: shm, url: "{runtime}/twin-camera", exposure: 2.4 ms\#(own)}"#
    let camera =
      settings.cameras.isEmpty
      ? "camera: \(single)"
      : "cameras:\n" + settings.cameras.map { "  - {name: \($0.name), \($0.keys)}" }.joined(separator: "\n")
    let degrade = settings.degrade.map { ", degrade: \($0)" } ?? ""
    return """
      data: \(settings.data ?? path + "/data")
      runtime: \(path)/run
      usb: {\(settings.libUSB ? "bus: libusb" : #"bus: usbip, address: "{runtime}/twin-usb""#)}
      potentiostat: {model: \(settings.model), usb: "\(settings.usb)"}
      \(holder(settings))\(camera)
      ring: {frames: \(settings.ringFrames), largest_frame: \(settings.side) x \(settings.side)}
      storage: {segment: \(settings.segment), keep_free: \(settings.keepFree)\(degrade)}
      beam: {\(settings.doseRate.map { "dose_rate: \($0)" } ?? "")}
      twin:
        seed: 1
        truth: "\(path)/truth"\(settings.libUSB ? "\n  usb_mock: \"\(path)/usb\"" : "")
        potentiostat: {model: \(settings.model)}
        camera: {\((["width: \(settings.side)", "height: \(settings.side)"] + settings.twinCamera).joined(separator: ", "))}\(wiring(settings))
        cell: {\(settings.cell.joined(separator: ", "))}
        faults: [\(settings.faults.map { "{\($0)}" }.joined(separator: ", "))]

      """
  }

  private static func wiring(_ settings: Settings) -> String {
    settings.holder == "obh-1" ? "" : "\n  holder: {contacts: wired}"
  }

  private static func holder(_ settings: Settings) -> String {
    switch settings.holder {
    case nil: ""
    case "obh-1":
      """
      holder:
        model: obh-1
        usb: "1209:0B10"
        contacts: {working: 1, counter: 2}
        heartbeat: \(settings.heartbeat)

      """
    case let model?: "holder: {model: \(model)}\n"
    }
  }

  // MARK: Processes

  /// Starts the daemon and waits until it answers.
  @discardableResult
  func startDaemon(_ arguments: [String] = []) throws -> ChildProcess {
    let started = try launchDaemon(arguments)
    _ = try eventually("the daemon's answer") { () -> Bool? in
      if let code = started.exitCode { throw TestFailure("the daemon ended with \(code): \(started.errors)") }
      return (try? ControlClient(endpoint, within: Seconds(0.5))) != nil ? true : nil
    }
    noteTwin()
    return started
  }

  /// Starts the daemon, whatever becomes of it.
  func launchDaemon(_ arguments: [String] = []) throws -> ChildProcess {
    daemons += 1
    let started = try ChildProcess(
      Programs.daemon, ["--config", configuration] + arguments, outputs: "\(path)/daemon-\(daemons)",
      environment: environment)
    daemon = started
    return started
  }

  /// Runs insituctl to its end.
  func insituctl(_ arguments: String..., within limit: Seconds = Seconds(20)) throws -> ChildProcess {
    try run(arguments, within: limit)
  }

  func run(_ arguments: [String], within limit: Seconds = Seconds(20)) throws -> ChildProcess {
    daemons += 1
    let process = try ChildProcess(
      Programs.control, arguments + ["--endpoint", endpoint], outputs: "\(path)/ctl-\(daemons)")
    _ = try process.waitForExit(within: limit)
    return process
  }

  func python(_ script: String, _ arguments: String...) throws -> ChildProcess {
    daemons += 1
    guard let python = Programs.python else { throw TestFailure(Programs.hasNoPython) }
    return try ChildProcess(python, [script] + arguments, outputs: "\(path)/python-\(daemons)")
  }

  /// Process number of the twin that has its lock in the runtime directory.
  var twin: pid_t? {
    let bytes = (try? FileSystem.read(runtime + "/twin.pid", limit: 64)) ?? []
    return pid_t(String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self))
  }

  private func noteTwin() {
    if let twin { twins.insert(twin) }
  }

  static func isAlive(_ process: pid_t) -> Bool {
    guard let bytes = try? FileSystem.read("/proc/\(process)/stat", limit: 4096) else { return false }
    let state = String(decoding: bytes, as: UTF8.self).split(separator: ")").last?.first { $0 != " " }
    return state != "Z" && state != "X"
  }

  /// Ends what runs and removes everything.
  func end() {
    noteTwin()
    if let daemon, daemon.exitCode == nil {
      daemon.send(SIGTERM)
      _ = try? daemon.waitForExit(within: Seconds(8))
      daemon.kill()
    }
    noteTwin()
    for twin in twins where Self.isAlive(twin) {
      kill(twin, SIGTERM)
      _ = try? eventually(within: Seconds(3), "the twin's end") { Self.isAlive(twin) ? nil : true }
      if Self.isAlive(twin) { kill(twin, SIGKILL) }
    }
    let place = "insitud-" + runtime.split(separator: "/").joined(separator: "-") + "-ring"
    for name in (try? FileSystem.list("/dev/shm")) ?? [] where name.hasPrefix(place) {
      FileSystem.remove("/dev/shm/" + name)
    }
    removeTree(path)
  }

  // MARK: Talking

  func client() throws -> ControlClient { try ControlClient(endpoint) }

  /// Begins a run of these steps with limits and acquisition as the demo has them.
  @discardableResult
  func start(
    _ client: ControlClient, _ steps: String, name: String = "test", voltage: String = "[-0.5 V, 4.5 V]",
    more: String = ""
  ) throws -> String {
    let reply = try client.call(
      .runStart,
      [
        "protocol": .string(Self.protocolText(steps, voltage: voltage, more: more)), "file": "test.yaml",
        "name": .string(name),
      ])
    guard let id = reply["id"]?.string else { throw TestFailure("run.start answered \(reply.text)") }
    return id
  }

  /// - Parameters:
  ///   - steps: one per line.
  ///   - more: another line of the protocol.
  static func protocolText(_ steps: String, voltage: String = "[-0.5 V, 4.5 V]", more: String = "") -> String {
    """
    protocol: 1
    name: test
    limits: {voltage: \(voltage), current: [-100 pA, 100 pA]}
    acquire: {sample: 10 ms, range: 10 nA}
    \(more.isEmpty ? "steps:" : more + "\nsteps:")

    """ + steps.split(separator: "\n").map { "  \($0)\n" }.joined()
  }

  /// Waits until `holds` is true of the status.
  @discardableResult
  func status(
    _ client: ControlClient, within limit: Seconds = Seconds(10), _ what: String, _ holds: (JSONValue) -> Bool
  ) throws -> JSONValue {
    try eventually(within: limit, what) {
      let status = try client.call(.status)
      return holds(status) ? status : nil
    }
  }

  /// Waits for the end of the run that goes on; gives what the daemon says of the last one.
  func ended(_ client: ControlClient, within limit: Seconds = Seconds(15)) throws -> JSONValue {
    try status(client, within: limit, "end of the run") { $0["state"]?.string == "idle" }
    return try client.call(.runsShow, ["id": "last"])
  }

  /// The run's directory.
  func directory(_ id: String) throws -> RunDirectory {
    let found = try DataDirectory(existing: data).runDirectories().first { $0.id == id }
    guard let found else { throw TestFailure("no directory of run \(id)") }
    return found
  }

  var truth: Truth { Truth(directory: path + "/truth") }
}

extension JSONValue {
  /// What stands at "a.b.c".
  func at(_ path: String) -> JSONValue? {
    path.split(separator: ".").reduce(.some(self)) { value, key in value?[String(key)] }
  }
}

func write(_ path: String, _ text: String) throws { try FileSystem.replace(path, with: Array(text.utf8)) }

/// Removes a directory with all that is in it.
private func removeTree(_ path: String) {
  chmod(path, 0o700)
  for name in (try? FileSystem.list(path)) ?? [] where name != "." && name != ".." {
    let child = path + "/" + name
    var facts = stat()
    guard lstat(child, &facts) == 0 else { continue }
    if facts.st_mode & S_IFMT == S_IFDIR { removeTree(child) } else { unlink(child) }
  }
  rmdir(path)
}
