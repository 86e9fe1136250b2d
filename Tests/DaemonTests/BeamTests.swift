import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

extension DaemonTests {
  @Suite("The beam")
  struct TheBeam {
    /// Of the twin: 1000 counts per pixel and second, one for each electron, and its pixels are 20 Å wide.
    private static let trueRate = 1000.0 / (20 * 20)

    /// What the operator believes of the camera is off by what he says it may be.
    private static func settings() -> Laboratory.Settings {
      var settings = Laboratory.Settings()
      settings.camera =
        #"{model: shm, url: "{runtime}/twin-camera", exposure: 2.4 ms, counts_per_electron: 1.01 +- 0.01, "#
        + #"pixel_size: 1.99 nm +- 0.5 %, statistics: {saturation: 65535, regions: ["64 x 64 at 0, 0"]}}"#
      settings.twinCamera = ["scene: vacuum"]
      settings.doseRate = nil
      return settings
    }

    @Test("A calibration on vacuum is true within its uncertainty, outlives the daemon, and gives frames their dose")
    func calibrate() throws {
      let laboratory = try Laboratory(Self.settings())
      try laboratory.startDaemon()
      let client = try laboratory.client()
      #expect(try client.call(.status)["beam"]?.isNull == true)
      try laboratory.cameraIsConnected(client)

      let control = try laboratory.insituctl("beam", "calibrate", "--time", "2s", "--json")
      #expect(control.exitCode == 0, "\(control.errors)")
      #expect(control.errors.contains("on vacuum"))
      let found = try JSONValue(parsing: control.output)
      let rate = try #require(found["rate_e_per_A2_s"]?.double)
      let uncertainty = try #require(found["uncertainty_e_per_A2_s"]?.double)
      #expect(abs(rate - Self.trueRate) < 3 * uncertainty, "\(found.text)")
      // Twice 0.5 % of the pixel and 0.01 of 1.01 counts, 1.407 % together, and little besides: 800 frames of 65536 pixels.
      #expect(uncertainty / rate > 0.01406 && uncertainty / rate < 0.016, "\(found.text)")
      #expect(found["frames"]?.integer ?? 0 > 100)
      #expect(abs((found["mean_counts"]?.double ?? 0) - 2.4) < 0.01, "\(found.text)")
      let status = try client.call(.status)
      #expect(status["state"]?.string == "idle")
      #expect(status.at("beam.source")?.string == "calibration" && status.at("beam.camera")?.string == "camera")
      try laboratory.cameraRests(client)

      // Its own file: a daemon that is killed finds it again.
      laboratory.daemon?.kill()
      try laboratory.startDaemon()
      let again = try laboratory.client()
      #expect(try again.call(.beamShow).at("beam.rate_e_per_A2_s")?.double == rate)

      let id = try laboratory.start(again, "- Record frames at 50 fps\n- Rest for 1 s")
      let shown = try laboratory.ended(again)
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      let database = try RunDatabase.open(laboratory.directory(id), .readOnly).database
      let rows = try database.rows(
        """
        SELECT v.dose_e_per_A2 / ((v.stop_raw_ns - r.started_raw_ns) / 1e9) AS rate,
          v.dose_uncertainty_e_per_A2 / v.dose_e_per_A2 AS share
        FROM frame_value v, run r
        """)
      #expect(rows.count > 20)
      for row in rows {
        #expect(abs(try #require(row.double("rate")) - rate) < 1e-6 * rate)
        #expect(abs(try #require(row.double("share")) - uncertainty / rate) < 1e-6)
      }
      // 2.4 ms of the true rate on every frame, by its own counts, and the mean of the configured region.
      let counted = try #require(
        try database.rows(
          """
          SELECT avg(counted_e_per_A2) AS dose, avg(counted_uncertainty_e_per_A2) AS uncertainty,
            min(json_array_length(region_means_json)) AS regions, count(*) AS frames
          FROM frame_statistics
          """
        ).first)
      let dose = try #require(counted.double("dose"))
      let doseUncertainty = try #require(counted.double("uncertainty"))
      #expect(abs(dose - Self.trueRate * 0.0024) < 3 * doseUncertainty, "\(dose) ± \(doseUncertainty)")
      #expect(doseUncertainty / dose > 0.0141 && doseUncertainty / dose < 0.0155)
      #expect(counted.integer("regions") == 1)
      #expect(counted.integer("frames") == Int64(rows.count))
      let told = try database.rows("SELECT message FROM event WHERE kind = 'dose_rate'").first?.text("message")
      #expect(told?.contains("calibrated with camera") == true, "\(told ?? "")")

      #expect(try again.call(.beamForget)["forgotten"]?.bool == true)
      #expect(try again.call(.status)["beam"]?.isNull == true)
    }

    @Test("Of a camera that watches the frames that come are used, and it goes on afterwards")
    func watching() throws {
      var settings = Self.settings()
      settings.camera = settings.camera?.replacing("exposure: 2.4 ms", with: "exposure: 2.4 ms, watch: 50 fps")
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.status(client, "frames") { $0["frames_per_second"]?.double ?? 0 > 10 }
      let control = try laboratory.insituctl("beam", "calibrate", "--time", "2s", "--json")
      #expect(control.exitCode == 0, "\(control.errors)")
      let found = try JSONValue(parsing: control.output)
      let rate = try #require(found["rate_e_per_A2_s"]?.double)
      let uncertainty = try #require(found["uncertainty_e_per_A2_s"]?.double)
      #expect(abs(rate - Self.trueRate) < 3 * uncertainty, "\(found.text)")
      // 100 at 50 fps; its own series would have had 800.
      #expect(found["frames"]?.integer ?? 1000 < 200, "\(found.text)")
      let published = laboratory.truth.frames.count
      _ = try eventually("more frames") { laboratory.truth.frames.count > published + 20 ? true : nil }
      // One series, from the daemon's start on: nobody has stopped it.
      #expect(Set(laboratory.truth.frames.keys.map(\.series)).count == 1)
    }

    @Test("Ctrl-C stops the camera and keeps nothing; then a run can begin, during which nothing is calibrated")
    func interrupted() throws {
      let laboratory = try Laboratory(Self.settings())
      try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.cameraIsConnected(client)
      let control = try ChildProcess(
        Programs.control, ["beam", "calibrate", "--time", "60s", "--endpoint", laboratory.endpoint],
        outputs: laboratory.path + "/calibrate")
      try laboratory.status(client, "frames") { $0["frames_per_second"]?.double ?? 0 > 10 }
      #expect(try client.call(.status)["state"]?.string == "operating")
      let other = try laboratory.insituctl("beam", "calibrate")
      #expect(other.exitCode == 75, "\(other.errors)")
      control.send(SIGINT)
      #expect(try control.waitForExit() == 130)
      #expect(control.errors.contains("nothing is kept"), "\(control.errors)")
      try laboratory.status(client, "the end of the calibration") { $0["state"]?.string == "idle" }
      try laboratory.cameraRests(client)
      #expect(try client.call(.beamShow)["calibration"]?.isNull == true)
      #expect(!FileSystem.exists(laboratory.data + "/beam.json"))

      try laboratory.start(client, "- Record frames at 50 fps\n- Rest for 2 s")
      for method in [ControlMethod.beamCalibrate, .beamForget] {
        let error = #expect(throws: ControlError.self) { try client.call(method) }
        #expect(error?.kind == .busy)
      }
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      #expect(shown.at("ledger.balanced")?.bool == true)
    }

    @Test(
      "Saturated frames, and frames without counts, are refused with 69 and nothing is kept",
      arguments: [("saturation: 3", "1000", "saturated pixels"), ("saturation: 65535", "0", "have no counts")])
    func useless(statistics: String, dose: String, words: String) throws {
      var settings = Self.settings()
      settings.camera = settings.camera?.replacing("saturation: 65535", with: statistics)
      settings.twinCamera.append("dose: \(dose) e/px/s")
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.cameraIsConnected(client)
      let control = try laboratory.insituctl("beam", "calibrate", "--time", "1s")
      #expect(control.exitCode == 69 && control.errors.contains(words), "\(control.errors)")
      #expect(try client.call(.status)["beam"]?.isNull == true)
      try laboratory.cameraRests(client)
    }

    @Test("With a camera of which nothing is known, a calibration is refused with 78 and what to write")
    func unknownCamera() throws {
      let plain = try Laboratory()
      try plain.startDaemon()
      let unknown = try plain.insituctl("beam", "calibrate")
      #expect(unknown.exitCode == 78, "\(unknown.errors)")
      #expect(unknown.errors.contains("counts_per_electron and pixel_size"), "\(unknown.errors)")
      // What is configured has the usual uncertainty.
      let shown = try plain.insituctl("beam", "show")
      #expect(shown.output == "Dose rate: 2.50 ± 0.25 e/A^2/s, as configured\n", "\(shown.output)")
    }

    @Test(
      "What a configuration says of electrons is refused with its place where it cannot be meant",
      arguments: [
        ("pixel_size: 1.99 nm +- 0.5 %", "pixel_size: 1.99", "has no unit"),
        ("pixel_size: 1.99 nm +- 0.5 %", "pixel_size: 1.99 V", "has the unit"),
        ("1.01 +- 0.01", "1.01 +- 2", "less than the value"), ("64 x 64 at 0, 0", "64 x 64", "not a region"),
        ("64 x 64 at 0, 0", "0 x 64 at 0, 0", "not possible"), ("saturation: 65535", "saturation: 0", "saturation"),
        ("beam: {}", "beam: {dose_rate: fast}", "dose_rate"),
      ])
    func configuration(_ old: String, _ new: String, _ words: String) throws {
      let laboratory = try Laboratory(Self.settings())
      let text = String(decoding: try FileSystem.read(laboratory.configuration), as: UTF8.self)
      #expect(text.contains(old))
      try write(laboratory.configuration, text.replacing(old, with: new))
      let daemon = try laboratory.launchDaemon(["--check-config"])
      #expect(try daemon.waitForExit() == 78)
      #expect(daemon.errors.contains(words) && daemon.errors.contains("insitud.yaml:"), "\(daemon.errors)")
    }
  }
}

extension Laboratory {
  fileprivate func cameraIsConnected(_ client: ControlClient) throws {
    try status(client, "the camera") { status in
      status["instruments"]?.array?.contains { $0["kind"]?.string == "camera" && $0["connected"]?.bool == true } == true
    }
  }

  /// No frame comes any more.
  fileprivate func cameraRests(_ client: ControlClient) throws {
    try status(client, "a camera at rest") { $0["frames_per_second"]?.double == 0 }
  }
}
