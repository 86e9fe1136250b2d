import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import RunStore
import Testing

extension DaemonTests {
  @Suite("What cannot be begun")
  struct Refusals {
    @Test("A run that the disk cannot hold is refused with 73, and nothing is made")
    func disk() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let file = laboratory.path + "/long.yaml"
      try write(
        file, Laboratory.protocolText("- repeat: 1000\n  steps:\n    - Rest for 20 h:\n        record: 400 fps"))
      let control = try laboratory.insituctl("run", "start", file)
      #expect(control.exitCode == 73, "\(control.errors)")
      #expect(control.errors.split(separator: "\n").count == 1, "\(control.errors)")
      let made = try DataDirectory(existing: laboratory.data).runDirectories()
      #expect(made.isEmpty)
      #expect(try laboratory.client().call(.status)["state"]?.string == "idle")
    }

    @Test("A data directory that cannot be made is 73 with one line")
    func notWritable() throws {
      let laboratory = try Laboratory()
      let file = laboratory.path + "/file"
      try write(file, "")
      let daemon = try laboratory.launchDaemon(["--data", file + "/data"])
      #expect(try daemon.waitForExit() == 73)
      #expect(daemon.errors.contains(file), "\(daemon.errors)")
      #expect(daemon.errors.split(separator: "\n").count == 1, "\(daemon.errors)")
      #expect(laboratory.twin == nil)
    }

    @Test("A second daemon on the same data directory ends with 75; the first goes on")
    func locked() throws {
      let laboratory = try Laboratory()
      let first = try laboratory.startDaemon()
      let second = try Laboratory()
      let other = try second.launchDaemon(["--data", laboratory.data])
      #expect(try other.waitForExit() == 75)
      #expect(other.errors.contains(laboratory.data), "\(other.errors)")
      #expect(first.exitCode == nil)
      #expect(try laboratory.client().call(.status)["state"]?.string == "idle")
    }

    @Test("A second daemon with the same sockets ends with 75, whatever its data; the first goes on")
    func lockedRuntime() throws {
      let laboratory = try Laboratory()
      let first = try laboratory.startDaemon()
      let other = try laboratory.launchDaemon(["--data", laboratory.path + "/other"])
      #expect(try other.waitForExit() == 75)
      #expect(other.errors.contains(laboratory.runtime), "\(other.errors)")
      #expect(first.exitCode == nil)
      #expect(try laboratory.client().call(.status)["state"]?.string == "idle")
    }

    @Test(
      "A configuration with an unknown key, a wrong value or no file is 78, with file, line and column",
      arguments: [
        ("heartbeat", "hartbeat", ":9:3:"), ("heartbeat: 1 s", "heartbeat: 1", ":9:14:"),
        ("keithley-2450", "keithley-9999", ":4:23:"), ("storage:", "storage: {}\nstorage:", ":13:1:"),
      ])
    func configuration(_ old: String, _ new: String, _ place: String) throws {
      let laboratory = try Laboratory()
      let text = String(decoding: try FileSystem.read(laboratory.configuration), as: UTF8.self)
      let changed = text.replacing(old, with: new)
      try #require(changed != text)
      try write(laboratory.configuration, changed)
      for arguments in [["--check-config"], []] {
        let daemon = try laboratory.launchDaemon(arguments)
        #expect(try daemon.waitForExit() == 78)
        #expect(daemon.errors.contains(laboratory.configuration + place), "\(daemon.errors)")
      }
      #expect(!FileSystem.exists(laboratory.data))
      #expect(!FileSystem.exists(laboratory.runtime))
    }

    @Test("--check-config says that a good file is good, --version names the version, wrong words are 64")
    func words() throws {
      let laboratory = try Laboratory()
      let good = try laboratory.launchDaemon(["--check-config"])
      #expect(try good.waitForExit() == 0)
      #expect(good.output == "\(laboratory.configuration): no errors\n")
      let version = try laboratory.launchDaemon(["--version"])
      #expect(try version.waitForExit() == 0)
      #expect(version.output.hasPrefix("insitud "))
      let wrong = try laboratory.launchDaemon(["--confg"])
      #expect(try wrong.waitForExit() == 64)
      let missing = try laboratory.launchDaemon(["--config", laboratory.path + "/none.yaml"])
      #expect(try missing.waitForExit() == 78)
      #expect(missing.errors.contains("none.yaml"))
    }

    @Test("A protocol file that is not there is 66, a daemon that is not there 69, each with one line")
    func absent() throws {
      let laboratory = try Laboratory()
      let none = try laboratory.insituctl("run", "start", laboratory.path + "/none.yaml")
      #expect(none.exitCode == 66)
      #expect(none.errors.contains("none.yaml"))
      #expect(none.errors.split(separator: "\n").count == 1, "\(none.errors)")
      let nobody = try laboratory.insituctl("status")
      #expect(nobody.exitCode == 69)
      #expect(nobody.errors.split(separator: "\n").count == 1, "\(nobody.errors)")
      let document = try laboratory.insituctl("status", "--json")
      #expect(try JSONValue(parsing: document.output).at("error.exit_code")?.integer == 69)
    }
  }
}
