import ControlProtocol
import Glibc
import JSON
import Linux
import Potentiostat
import Quantities
import RunStore
import SQLite
import Testing
import USB

extension DaemonTests {
  /// The real libusb in the daemon's process, which finds the twin's instruments in a mock of usbfs.
  @Suite("Instruments at libusb")
  struct LibUSB {
    @Test(
      "A run is complete, its record sound, and every conversation was recorded; the head of one is replayed",
      arguments: ["keithley-2450", "nexus", "emstat-pico"])
    func whole(_ name: String) throws {
      let model = try #require(BenchedModel.all.first { $0.name == name })
      var settings = model.settings()
      settings.libUSB = true
      let laboratory = try Laboratory(settings)
      let recordings = laboratory.path + "/usb-recordings/today"
      try laboratory.startDaemon(["--record-usb", recordings])
      let file = laboratory.path + "/model.yaml"
      try write(file, model.text(rest: 0.4, current: 0.6, hold: 0.6))
      let started = try laboratory.insituctl("run", "start", file, "--follow", within: Seconds(60))
      #expect(started.exitCode == 0, "\(started.errors)\n\(started.output)")
      let shown = try laboratory.client().call(.runsShow, ["id": "last"])
      #expect(shown.at("ledger.balanced")?.bool == true)
      let directory = try laboratory.directory(try #require(shown["id"]?.string))
      let report = try RunVerification.verify(directory)
      #expect(report.isSound, "\(report.findings.map(\.description))")
      let samples = try RunDatabase.open(directory, .readOnly).database.rows("SELECT count(*) AS n FROM sample")
      #expect(try #require(samples.first?.integer("n")) > 15)
      let opened = try laboratory.truth.event(containing: "contacts open")
      #expect(opened.time.nanoseconds > 0)

      laboratory.daemon?.send(SIGTERM)
      #expect(try laboratory.daemon?.waitForExit() == 0)
      let files = try FileSystem.list(recordings)
      #expect(files.count == 2, "\(files)")
      for file in files { try Recording(recordings + "/" + file).isComplete() }
      try Recording(recordings + "/" + (try #require(files.first { $0.hasPrefix(name) }))).replaysItsHead(as: name)
    }

    @Test("A run goes on after the replug, of which libusb itself tells")
    func replug() throws {
      let laboratory = try faulty("unplug: potentiostat, after_output_on: 3 s, replug_after: 1.5 s")
      let client = try laboratory.client()
      let id = try laboratory.start(
        client, "- Record frames at 20 fps\n- Charge at 2 pA for 4 s", more: "wait_for_instruments: 20 s")
      try laboratory.status(client, "waiting") { $0["state"]?.string == "waiting" }
      let shown = try laboratory.ended(client, within: Seconds(30))
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      let pulled = try laboratory.truth.event(containing: "fault: potentiostat unplugged")
      let plugged = try laboratory.truth.event(containing: "fault: potentiostat plugged in again")
      let opened = try laboratory.truth.event(after: pulled.time, containing: "contacts open")
      #expect(opened.time - pulled.time < Seconds(1), "\(opened.time - pulled.time)")
      let closed = try laboratory.truth.event(after: opened.time, containing: "contacts closed")
      #expect(closed.time > plugged.time)
      let database = try RunDatabase.open(laboratory.directory(id), .readOnly).database
      let events = try database.rows("SELECT kind FROM event WHERE kind IN ('hole_began', 'hole') ORDER BY id")
      #expect(events.map { $0.text("kind") } == ["hole_began", "hole"])
      #expect(try database.rows("SELECT id FROM sample WHERE flags & 16 <> 0").count == 1)
      #expect(try RunVerification.verify(try laboratory.directory(id)).isSound)
    }

    @Test(
      "Without leave to wait the run fails with the cell open; the instrument is connected again without a restart",
      arguments: ["potentiostat", "holder"])
    func fails(_ instrument: String) throws {
      let laboratory = try faulty("unplug: \(instrument), after_output_on: 2.5 s, replug_after: 2 s")
      let client = try laboratory.client()
      try laboratory.start(client, "- Charge at 2 pA for 20 s")
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "failed")
      #expect(shown["reason"]?.string?.contains("unplugged") == true, "\(shown["reason"]?.text ?? "")")
      let pulled = try laboratory.truth.event(containing: "fault: \(instrument) unplugged")
      let opened = try laboratory.truth.event(after: pulled.time, containing: "contacts open")
      #expect(opened.time - pulled.time < Seconds(1.5), "\(opened.time - pulled.time)")
      func isConnected(_ status: JSONValue) -> Bool {
        status["instruments"]?.array?.first { $0["kind"]?.string == instrument }?["connected"]?.bool == true
      }
      #expect(!isConnected(try client.call(.status)))
      // Nobody asks for it: the arrival does.
      try laboratory.status(client, "the \(instrument) again") { isConnected($0) }
      try laboratory.start(client, "- Rest for 0.5 s")
      let next = try laboratory.ended(client)
      #expect(next["outcome"]?.string == "complete", "\(next["reason"]?.text ?? "")")
    }

    private func faulty(_ fault: String) throws -> Laboratory {
      var settings = Laboratory.Settings()
      settings.side = 64
      settings.libUSB = true
      settings.faults = [fault]
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      return laboratory
    }
  }

  @Suite("Recorded conversations")
  struct RecordUSB {
    @Test("After kill -9 the files can be read, and hold what was said until then")
    func killed() throws {
      let laboratory = try Laboratory()
      let recordings = laboratory.path + "/recordings"
      let daemon = try laboratory.startDaemon(["--record-usb", recordings])
      let client = try laboratory.client()
      try laboratory.start(client, "- Charge at 2 pA for 20 s")
      try laboratory.status(client, "samples") { ($0.at("run.samples")?.integer ?? 0) > 30 }
      daemon.kill()
      let files = try FileSystem.list(recordings)
      #expect(files.count == 2, "\(files)")
      for file in files {
        let transcript = try Transcript.read(recordings + "/" + file)
        #expect(transcript.lines.count > 50)
        #expect(transcript.lines.last?.entry != .close)
      }
      try Recording(recordings + "/" + (try #require(files.first { $0.hasPrefix("keithley") }))).replaysItsHead(
        as: "keithley-2450")
    }

    @Test("A directory that cannot be made is 73 with one line, before anything is begun")
    func cannotBeMade() throws {
      let laboratory = try Laboratory()
      let file = laboratory.path + "/file"
      try write(file, "")
      let daemon = try laboratory.launchDaemon(["--record-usb", file + "/usb"])
      #expect(try daemon.waitForExit() == 73)
      #expect(daemon.errors.contains(file), "\(daemon.errors)")
      #expect(daemon.errors.contains("--record-usb"), "\(daemon.errors)")
      #expect(daemon.errors.split(separator: "\n").count == 1, "\(daemon.errors)")
      #expect(laboratory.twin == nil)
      #expect(!FileSystem.exists(laboratory.data))
    }
  }
}

/// A file that `insitud --record-usb` wrote.
private struct Recording {
  let path: String
  let transcript: Transcript

  init(_ path: String) throws {
    self.path = path
    transcript = try Transcript.read(path)
  }

  /// From opening to closing, without a note that it ended early.
  func isComplete() throws {
    #expect(transcript.lines.count > 20, "\(path)")
    #expect(transcript.lines.last?.entry == .close, "\(path)")
    let text = String(decoding: try FileSystem.read(path, limit: Transcript.mostBytes), as: UTF8.self)
    #expect(!text.contains("the recording ends here"), "\(path)")
  }

  /// The instrument's driver opens it once more, with nothing behind it but the file.
  func replaysItsHead(as name: String) throws {
    let device = transcript.head.device
    let model = try #require(PotentiostatModels.named(name))
    let match = USBMatch(vendor: device.vendor, product: device.product, serial: device.serial)
    let driver = try model.open(try TranscriptBus(path: path), PotentiostatSettings(model: name, usb: match))
    #expect(!driver.identity.model.isEmpty)
    #expect(name.contains(driver.identity.model.lowercased().split(separator: " ").last ?? "?"), "\(driver.identity)")
  }
}
