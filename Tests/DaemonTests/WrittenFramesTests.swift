import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import RunStore
import SQLite
import Testing

extension DaemonTests {
  @Suite("What of the frames is written")
  struct WrittenFrames {
    private func verified(_ laboratory: Laboratory, _ run: JSONValue) throws -> RunDirectory {
      let directory = try laboratory.directory(try #require(run["id"]?.string))
      let report = try RunVerification.verify(directory)
      #expect(report.isSound, "\(report.findings.map(\.description))")
      #expect(run.at("ledger.balanced")?.bool == true, "\(run.at("ledger.reason")?.text ?? "")")
      return directory
    }

    @Test("Every step has its frames: thinned, in sums, none at all, and a part of each; the ledger has all of them")
    func perStep() throws {
      var settings = Laboratory.Settings()
      settings.ringFrames = 512
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.start(
        client,
        """
        - Rest for 1 s:
            record: every 10th at 200 fps
        - Rest for 1 s:
            record: {rate: 200 fps, average: 4}
        - Rest for 1 s:
            record: {rate: 200 fps, keep: none}
        - Rest for 500 ms:
            record:
              rate: 200 fps
              region: 64 x 32 at 10, 20
        """)
      let run = try laboratory.ended(client)
      #expect(run["outcome"]?.string == "complete", "\(run["reason"]?.text ?? "")")
      let directory = try verified(laboratory, run)
      #expect(try #require(run.at("frames.skipped")?.integer) > 100)
      #expect(try #require(run.at("frames.merged")?.integer) > 30)

      var shapes: Set<FrameShape> = []
      for number in try directory.frames.segments() {
        if let shape = try SegmentContents(directory.frames, number).header?.shape { shapes.insert(shape) }
      }
      #expect(
        shapes == [
          FrameShape(width: 256, height: 256, bytesPerPixel: 2), FrameShape(width: 256, height: 256, bytesPerPixel: 4),
          FrameShape(width: 64, height: 32, bytesPerPixel: 2),
        ])
      let database = try RunDatabase.open(directory, .readOnly).database
      let steps = try database.rows(
        """
        SELECT step, sum(received) AS received, sum(written) AS written, sum(skipped) AS skipped, sum(merged) AS merged
        FROM ledger_step GROUP BY step ORDER BY step
        """)
      let byStep = Dictionary(uniqueKeysWithValues: steps.map { ($0.integer("step") ?? -2, $0) })
      let thinned = try #require(byStep[0])
      #expect(abs(Int64(thinned.count("received")) - 10 * Int64(thinned.count("written"))) <= 20)
      let summed = try #require(byStep[1])
      #expect(summed.count("merged") >= 2 * summed.count("written"))
      #expect(try #require(byStep[2]).count("written") == 0)
      let sums = try database.rows(
        """
        SELECT f.flags >> 16 AS more, f.exposure_ns AS e, s.mean_counts AS mean FROM frame f
        LEFT JOIN frame_statistics s ON s.frame = f.id WHERE f.step = 1 AND f.flags >> 16 = 3
        """)
      #expect(sums.count > 5)
      // Four periods of 5 ms, less the last one's readout.
      #expect(sums.allSatisfy { (15_000_000...20_500_000).contains($0.integer("e") ?? 0) })
      let single = try database.rows(
        "SELECT avg(s.mean_counts) AS mean FROM frame f JOIN frame_statistics s ON s.frame = f.id WHERE f.step = 0")
      let mean = try #require(single.first?.double("mean"))
      #expect(mean > 0)
      #expect(sums.allSatisfy { abs(($0.double("mean") ?? 0) - 4 * mean) < 0.3 * mean })
    }

    @Test("A protocol looks back: the frames of the last second are written after they came")
    func protocolLooksBack() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.start(
        client,
        """
        - Rest for 2 s:
            record: {rate: 100 fps, keep: none}
        - Keep the last 500 ms
        - Rest for 300 ms:
            record: off
        """)
      let run = try laboratory.ended(client)
      #expect(run["outcome"]?.string == "complete", "\(run["reason"]?.text ?? "")")
      let database = try RunDatabase.open(try verified(laboratory, run), .readOnly).database
      let rows = try database.rows("SELECT count(*) AS n, min(flags) AS least FROM frame")
      #expect(try #require(rows.first?.integer("n")) > 5)
      #expect(rows.first?.integer("least") == 32)
    }

    @Test("A trigger writes what was before it and what comes after, and nothing else")
    func triggered() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.start(
        client,
        """
        - Rest for 2 s:
            record:
              rate: 100 fps
              keep: none
              trigger: {when: "mean > 0", before: 300 ms, after: 200 ms}
        """)
      let run = try laboratory.ended(client)
      #expect(run["outcome"]?.string == "complete", "\(run["reason"]?.text ?? "")")
      let database = try RunDatabase.open(try verified(laboratory, run), .readOnly).database
      let events = try database.rows("SELECT message FROM event WHERE kind = 'frame_trigger'")
      #expect(events.count == 1, "\(events.compactMap { $0.text("message") })")
      // The first frame fires; before it there is nothing.
      let written = try #require(database.rows("SELECT count(*) AS n FROM frame").first?.integer("n"))
      let received = try #require(run.at("frames.received")?.integer)
      #expect(written > 5 && written < received)
    }

    @Test("An operator looks back, in a run and without one")
    func operatorLooksBack() throws {
      var settings = Laboratory.Settings()
      settings.ownCamera = "watch: 100 fps"
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.status(client, "frames between runs") { ($0["frames_per_second"]?.double ?? 0) > 50 }
      sleepThread(for: Seconds(0.6))
      let told = try laboratory.insituctl("frames", "keep", "--last", "500 ms")
      #expect(told.exitCode == 0, "\(told.errors)")
      #expect(told.output.contains("Kept"), "\(told.output)")
      let alone = try client.call(.runsShow, ["id": "last"])
      #expect(alone["name"]?.string == "kept frames")
      #expect(alone["outcome"]?.string == "complete", "\(alone["reason"]?.text ?? "")")
      _ = try verified(laboratory, alone)
      #expect(try #require(alone.at("frames.written")?.integer) > 5)

      try laboratory.start(client, "- Rest for 2 s:\n    record: off")
      try laboratory.status(client, "the step") {
        $0.at("run.step_elapsed_s")?.double ?? 0 > 0.8 && $0["state"] == "running"
      }
      let kept = try client.call(.framesKeep, ["last": "400 ms"], within: Seconds(20))
      #expect(try #require(kept["frames"]?.integer) > 5)
      // Once is enough: they are not written twice.
      _ = try client.call(.framesKeep, ["last": "300 ms"], within: Seconds(20))
      let run = try laboratory.ended(client)
      #expect(run["outcome"]?.string == "complete", "\(run["reason"]?.text ?? "")")
      _ = try verified(laboratory, run)
      // The camera goes on after the run.
      try laboratory.status(client, "frames after the run") { ($0["frames_per_second"]?.double ?? 0) > 50 }
    }

    @Test("Looking back says what is wrong: no frames, no such camera, no time")
    func wrong() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      for (arguments, word) in [
        (["frames", "keep", "--last", "10 s"], "camera.watch"), (["frames", "keep", "--last", "10"], "--last"),
        (["frames", "keep", "--last", "10 s", "--camera", "nose"], "camera"), (["frames", "recover"], "crash"),
        (["frames", "keep"], "--last"),
      ] {
        let process = try laboratory.run(arguments)
        #expect(process.exitCode != 0)
        #expect(process.errors.contains(word), "\(process.errors)")
      }
    }

    @Test("What the ring held when the daemon was killed is found, and recovered into a run")
    func leftBehind() throws {
      var settings = Laboratory.Settings()
      settings.ownCamera = "watch: 100 fps"
      let laboratory = try Laboratory(settings)
      let daemon = try laboratory.startDaemon()
      try laboratory.status(try laboratory.client(), "frames between runs") {
        ($0["frames_per_second"]?.double ?? 0) > 50
      }
      sleepThread(for: Seconds(0.5))
      daemon.kill()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let left = try client.call(.framesLeft)["rings"]?.array ?? []
      #expect(left.count == 1)
      let frames = try #require(left.first?["frames"]?.integer)
      #expect(frames > 30)
      let told = try laboratory.insituctl("frames", "recover", within: Seconds(60))
      #expect(told.exitCode == 0, "\(told.errors)")
      let run = try client.call(.runsShow, ["id": "last"])
      #expect(run["name"]?.string == "recovered frames")
      #expect(run["outcome"]?.string == "complete", "\(run["reason"]?.text ?? "")")
      // The slot that was being written when the daemon died is not whole.
      #expect(try #require(run.at("frames.written")?.integer) >= frames - 1)
      _ = try verified(laboratory, run)
      #expect(try client.call(.framesLeft)["rings"]?.array?.isEmpty == true)
      #expect(
        !FileSystem.exists(
          "/dev/shm/insitud-" + laboratory.runtime.split(separator: "/").joined(separator: "-") + "-ring.left"))
    }

    @Test("A protocol that looks back further than the ring reaches is told so when it is checked and when it begins")
    func reach() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let steps = """
        - Rest for 300 ms:
            record: {rate: 100 fps, keep: none}
        - Keep the last 10 s
        """
      let text = JSONValue.string(Laboratory.protocolText(steps))
      let checked = try client.call(.protocolCheck, ["protocol": text, "file": "test.yaml"])
      let words = checked.at("plan.warnings")?.array?.compactMap(\.string) ?? []
      #expect(words.contains { $0.contains("640 ms") && $0.contains("ring.length") }, "\(words)")
      let begun = try client.call(.runStart, ["protocol": text, "file": "test.yaml"])
      #expect(
        begun["warnings"]?.array?.contains { $0.string?.contains("looks back 10.0 s") == true } == true, "\(begun)")
      _ = try laboratory.ended(client)
    }

    @Test(
      "A run is recorded compressed where that is asked for, is sound, and its export is plain MRC with the same pixels"
    )
    func compressed() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let path = laboratory.path + "/steps.yaml"
      try FileSystem.replace(
        path, with: Array(Laboratory.protocolText("- Rest for 1 s:\n    record: 50 fps").utf8))
      let told = try laboratory.insituctl("run", "start", path, "--compress", "bslz4", "--follow", within: Seconds(30))
      #expect(told.exitCode == 0, "\(told.errors)")
      let run = try client.call(.runsShow, ["id": "last"])
      let directory = try verified(laboratory, run)
      let written = try #require(run.at("frames.written")?.integer)
      #expect(written > 30)
      #expect(FileSystem.exists(directory.path + "/frames-0000.bsf"))
      #expect(!FileSystem.exists(directory.path + "/frames-0000.mrc"))
      let rows = try RunDatabase.open(directory, .readOnly).database.rows(
        "SELECT count(*) AS n, max(stored_bytes) AS most FROM frame WHERE encoding = 1")
      #expect(try #require(rows.first?.integer("n")) > 0)
      #expect(try #require(rows.first?.integer("most")) < 256 * 256 * 2)

      let target = laboratory.path + "/plain"
      let exported = try laboratory.insituctl("export", "last", "--format", "mrc", "-o", target, within: Seconds(30))
      #expect(exported.exitCode == 0, "\(exported.errors)")
      #expect(FileSystem.size(of: target + "/frames-0000.mrc") == Int64(4096 + 256 * 256 * 2 * Int(written)))

      let wrong = try laboratory.insituctl("run", "start", path, "--compress", "zip")
      #expect(wrong.exitCode != 0 && wrong.errors.contains("bszstd"), "\(wrong.errors)")
    }

    @Test("Two cameras at once, each with its frames, its files and its account")
    func twoCameras() throws {
      let place = try Laboratory()
      let pixels = place.path + "/film.raw"
      try FileSystem.replace(pixels, with: [UInt8](repeating: 7, count: 64 * 64 * 2 * 400))
      var settings = Laboratory.Settings()
      settings.cameras = [
        ("image", #"model: shm, url: "{runtime}/twin-camera", exposure: 2.4 ms"#),
        (
          "diffraction",
          "model: replay, url: \"file://\(pixels)?width=64&height=64&type=u16\", ring: {frames: 64, largest_frame: 64 x 64}"
        ),
      ]
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.start(
        client,
        """
        - Rest for 1 s:
            record:
              cameras:
                image: 100 fps
                diffraction: {rate: 50 fps, keep: every 5th}
        """)
      let run = try laboratory.ended(client)
      #expect(run["outcome"]?.string == "complete", "\(run["reason"]?.text ?? "")")
      let directory = try verified(laboratory, run)
      let database = try RunDatabase.open(directory, .readOnly)
      #expect(try database.cameras().map(\.name) == ["image", "diffraction"])
      let counts = try database.database.rows("SELECT camera, count(*) AS n FROM frame GROUP BY camera ORDER BY camera")
      #expect(counts.count == 2)
      #expect(try #require(counts.first?.integer("n")) > 20)
      #expect(try #require(counts.last?.integer("n")) > 1)
      #expect(FileSystem.exists(directory.path + "/frames-diffraction-0000.mrc"))
      let values = try database.database.rows(
        "SELECT camera, count(*) AS n FROM frame_with_values WHERE start_raw_ns IS NOT NULL GROUP BY camera")
      #expect(values.count == 2)

      let unknown = #expect(throws: ControlError.self) {
        try laboratory.start(client, "- Rest for 1 s:\n    record:\n      cameras: {nose: 10 fps}")
      }
      #expect(unknown?.message.contains("nose") == true)
    }

    @Test("A disk that fills gets binned previews at last, and the ledger has every frame", .enabled(if: getuid() == 0))
    func fullDisk() throws {
      let place = try Laboratory()
      let data = place.path + "/small"
      try FileSystem.makeDirectories(data)
      try Self.mount(data, megabytes: 80)
      defer { umount2(data, Int32(MNT_DETACH)) }
      var settings = Laboratory.Settings()
      settings.data = data
      settings.keepFree = "40 MB"
      settings.degrade = "[every 2nd, previews, stop]"
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      // 400 fps of 128 kB fill 52 MB in a second; how many a camera sends that decides itself, no plan knows.
      try laboratory.start(client, "- Rest for 3 s:\n    record: all")
      let run = try laboratory.ended(client, within: Seconds(30))
      let directory = try laboratory.directory(try #require(run["id"]?.string))
      let database = try RunDatabase.open(directory, .readOnly).database
      let degraded = try database.rows("SELECT message FROM event WHERE kind = 'storage_degraded'")
      #expect(degraded.contains { $0.text("message")?.contains("previews") == true }, "\(degraded)")
      let previews = try database.rows("SELECT count(*) AS n FROM frame WHERE flags & 16").first?.integer("n")
      #expect(try #require(previews) > 3)
      #expect(try #require(run.at("frames.dropped.disk_behind")?.integer) > 0)
      _ = try verified(laboratory, run)
      #expect(run["outcome"]?.string == "complete", "\(run["reason"]?.text ?? "")")
    }

    @Test("A camera that is faster than the disk: what the operator chose is given up, and the ledger has every frame")
    func slowDisk() throws {
      let place = try Laboratory()
      // Pixels that are nowhere on the disk, and so come as fast as memory.
      let pixels = place.path + "/nothing.raw"
      try FileSystem.replace(pixels, with: [])
      guard truncate(pixels, 20_000 * 128 * 128 * 2) == 0 else { throw TestFailure("no sparse file: \(errno)") }
      var settings = Laboratory.Settings()
      settings.ringFrames = 64
      settings.camera = "{model: replay, url: \"file://\(pixels)?width=128&height=128&type=u16\", rate: full}"
      settings.degrade = "[every 2nd, every 4th, previews]"
      // Two files for each frame, made and synchronised, which takes longer than a frame of this camera on any disk.
      settings.segment = "0.01 MB"
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.start(client, "- Rest for 2 s:\n    record: all")
      let run = try laboratory.ended(client, within: Seconds(60))
      #expect(run["outcome"]?.string == "complete", "\(run["reason"]?.text ?? "")")
      let directory = try verified(laboratory, run)
      let told = try laboratory.insituctl("runs", "verify", "last", within: Seconds(60))
      #expect(told.exitCode == 0, "\(told.output) \(told.errors)")

      let database = try RunDatabase.open(directory, .readOnly)
      let degraded = try database.database.rows("SELECT message FROM event WHERE kind = 'storage_degraded' ORDER BY id")
        .compactMap { $0.text("message") }
      #expect(degraded.first?.hasSuffix("slots wait for the disk; from now on: every 2nd") == true, "\(degraded)")
      let ledger = try #require(try database.ledgers().first)
      #expect(try database.ledgers().count == 1 && ledger.isBalanced, "\(ledger.imbalance ?? "")")
      #expect(Set(ledger.dropped.keys) == [SeriesLedger.behindCause], "\(ledger.dropped)")
      #expect(ledger.written > 64 && ledger.skipped == 0 && ledger.merged == 0 && ledger.lostAtSource == 0)
      #expect(run.at("frames.dropped.disk_behind")?.integer == Int64(ledger.totalDropped))
    }

    @Test("Frames that cannot be had are refused before anything is done to the sample")
    func cameraIsAway() throws {
      var settings = Laboratory.Settings()
      settings.camera = "{model: replay, url: \"file:///nowhere/frames.mrc\"}"
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let error = #expect(throws: ControlError.self) {
        try laboratory.start(client, "- Rest for 1 s:\n    record: all")
      }
      let said = "\(try #require(error))"
      #expect(said.contains("the camera is not there") && said.contains("/nowhere/frames.mrc"), "\(said)")
      #expect(try client.call(.runsList)["runs"]?.array?.isEmpty == true)
      // Without frames it is not needed.
      try laboratory.start(client, "- Rest for 0.2 s")
      #expect(try laboratory.ended(client, within: Seconds(30))["outcome"]?.string == "complete")
    }

    @Test("A trigger on a region that nobody looks at is refused, and a region beyond the frames is told of")
    func regions() throws {
      let place = try Laboratory()
      let pixels = place.path + "/small.raw"
      try FileSystem.replace(pixels, with: [UInt8](repeating: 1, count: 64 * 64 * 2 * 40))
      var settings = Laboratory.Settings()
      settings.camera = "{model: replay, url: \"file://\(pixels)?width=64&height=64&type=u16\", rate: 100 fps}"
      let laboratory = try Laboratory(settings)
      try laboratory.startDaemon()
      let client = try laboratory.client()
      let error = #expect(throws: ControlError.self) {
        try laboratory.start(
          client, "- Rest for 1 s:\n    record: {keep: none, trigger: {when: region 5 > 3, after: 1 s}}")
      }
      #expect("\(try #require(error))".contains("the trigger looks at region 5"), "\(String(describing: error))")
      try laboratory.start(client, "- Rest for 0.5 s:\n    record: {region: 40 x 40 at 32, 32}")
      let run = try laboratory.ended(client, within: Seconds(30))
      let database = try RunDatabase.open(try verified(laboratory, run), .readOnly)
      let told = try database.database.rows("SELECT message FROM event WHERE kind = 'range'").compactMap {
        $0.text("message")
      }
      let isTold = told.contains { $0.contains("the region reaches beyond the frames") && $0.contains("64 x 64") }
      #expect(isTold, "\(told)")
    }

    private static func mount(_ path: String, megabytes: Int) throws {
      guard Glibc.mount("tmpfs", path, "tmpfs", 0, "size=\(megabytes)m,mode=755") == 0 else {
        throw TestFailure("no tmpfs can be mounted: \(errno)")
      }
    }
  }
}
