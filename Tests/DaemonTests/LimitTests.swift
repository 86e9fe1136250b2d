import ControlProtocol
import JSON
import Linux
import Quantities
import RunStore
import Testing

extension DaemonTests {
  @Suite("Limits of a protocol")
  struct Limits {
    @Test(
      "A charge that runs into the voltage limit trips there instead of being held at it, and insituctl exits with 3")
    func trip() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let limit = 3.3
      let file = laboratory.path + "/charge.yaml"
      try write(
        file, Laboratory.protocolText("- Rest for 300 ms\n- Charge at 3 pA for 30 s", voltage: "[-0.5 V, 3.3 V]"))
      let control = try laboratory.insituctl("run", "start", file, "--name", "limit", "--follow", "--json")
      #expect(control.exitCode == 3, "\(control.errors)")
      let shown = try JSONValue(parsing: control.output)
      #expect(shown["outcome"]?.string == "tripped")
      #expect(shown["reason"]?.string?.contains("voltage") == true, "\(shown["reason"]?.text ?? "")")

      let crossed = try eventually("the crossing in the truth") {
        laboratory.truth.cell.first { $0.voltage >= limit }
      }
      let off = try laboratory.truth.event(
        after: MonotonicTime(nanoseconds: crossed.time), containing: "output off, state HIMP")
      let late = off.time - MonotonicTime(nanoseconds: crossed.time)
      // How fast it is, `make bench` measures. A source that holds the voltage at the limit would go on for many seconds.
      #expect(late < Seconds(1), "\(late)")
      let opened = try laboratory.truth.event(after: off.time, containing: "contacts open")
      #expect(opened.time > off.time)
    }

    @Test("A wrong unit is refused with line and remedy before anything is touched or made")
    func wrongUnit() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let file = laboratory.path + "/wrong.yaml"
      try write(file, Laboratory.protocolText("- Charge at 2 mA for 1 s"))
      let control = try laboratory.insituctl("run", "start", file, "--json")
      #expect(control.exitCode == 65)
      let error = try #require(JSONValue(parsing: control.output)["error"])
      #expect(error["kind"]?.string == "data")
      #expect(error.at("details.errors")?.array?.first?["line"]?.integer == 6, "\(error.text)")
      #expect(error["message"]?.string?.contains("wrong.yaml:6") == true)
      let check = try laboratory.insituctl("protocol", "check", file)
      #expect(check.exitCode == 65)
      #expect(check.errors.contains("wrong.yaml:6"), "\(check.errors)")
      let made = try DataDirectory(existing: laboratory.data).runDirectories()
      #expect(made.isEmpty)
      let client = try laboratory.client()
      let runs = try client.call(.runsList)["runs"]?.array
      #expect(runs?.isEmpty == true)
      let events = laboratory.truth.events
      #expect(!events.contains { $0.text.contains("output on") || $0.text.contains("contacts closed") })
    }
  }
}
