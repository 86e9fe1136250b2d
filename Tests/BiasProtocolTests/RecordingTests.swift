import BiasProtocol
import JSON
import Pixels
import Quantities
import Testing

/// What is recorded during the only step of a protocol.
private func recording(_ option: String) throws -> StepRecording {
  try #require(compiled("- Rest for 1 s:\n    record:\(option)").steps.first).recording
}

@Suite struct RecordingTests {
  private static let tenth = Recording(rate: Hertz(400), keep: .everyNth(10))
  private static let thinned = Recording(rate: Hertz(400), keep: .rate(Hertz(10)))
  private static let averaged = Recording(rate: Hertz(400), average: 8)

  @Test(
    "Sentences about recording say what is kept of what comes",
    arguments: [
      ("Record frames at 10 fps", .rate(Hertz(10))),
      ("Record all frames", .all),
      ("Record all frames at 400 fps", .rate(Hertz(400))),
      ("Record every 10th frame at 400 fps", tenth),
      ("record EVERY 10th frame AT 400 fps", tenth),
      ("Record every 2nd frame", Recording(keep: .everyNth(2))),
      ("Record frames at 400 fps, keep 10 fps", thinned),
      ("Record frames at 400 Hz keep 10 fps", thinned),
      ("Record frames at 400 fps, keep every 10th", tenth),
      ("Record frames at 400 fps, keep every 10th frame", tenth),
      ("Record frames, keep 10 fps", Recording(keep: .rate(Hertz(10)))),
      ("Record averages of 8 frames at 400 fps", averaged),
      (
        "Record averages of 8 frames at 400 fps, keep 10 fps",
        Recording(rate: Hertz(400), keep: .rate(Hertz(10)), average: 8)
      ),
      ("Record averages of 65536 frames", Recording(average: 65_536)),
      ("Record no frames", Recording(keep: .none)),
      ("Record no frames at 100 fps", Recording(rate: Hertz(100), keep: .none)),
      ("Record frames at 100 fps, keep none", Recording(rate: Hertz(100), keep: .none)),
      ("Stop recording", .off),
    ] as [(String, Recording)])
  func sentences(written: String, meant: Recording) throws {
    let steps = try compiled("- \(written)\n- Rest for 1 s").steps
    #expect(steps.map(\.recording) == [StepRecording(meant)])
  }

  @Test(
    "Short forms are read, and printed as they are read",
    arguments: [
      ("off", .off, "off"), ("all", .all, "all"), ("none", Recording(keep: .none), "none"),
      ("400 fps", .rate(Hertz(400)), "400 fps"),
      ("every 10th", Recording(keep: .everyNth(10)), "every 10th"),
      ("every 21ST frame at 0.5 fps", Recording(rate: Hertz(0.5), keep: .everyNth(21)), "every 21st at 0.5 fps"),
      ("every 112nd", Recording(keep: .everyNth(112)), "every 112th"),
      ("400 fps, keep 10 fps", thinned, "400 fps, keep 10 fps"),
      ("400 fps keep every 10th", tenth, "every 10th at 400 fps"),
      ("400 fps, keep all", .rate(Hertz(400)), "400 fps"),
      ("keep 10 fps", Recording(keep: .rate(Hertz(10))), "keep 10 fps"),
      ("none at 100 fps", Recording(rate: Hertz(100), keep: .none), "none at 100 fps"),
      ("averages of 8 at 400 fps", averaged, "averages of 8 at 400 fps"),
      (
        "averages of 8 frames, keep 3 fps", Recording(keep: .rate(Hertz(3)), average: 8), "averages of 8, keep 3 fps"
      ),
    ] as [(String, Recording, String)])
  func shortForms(written: String, meant: Recording, printed: String) throws {
    #expect(try recording(" \(written)") == StepRecording(meant))
    #expect(meant.description == printed)
    #expect(try recording(" \(printed)") == StepRecording(meant))
  }

  @Test("A mapping says rate, keep, average, region and trigger each by its name")
  func mappings() throws {
    #expect(try recording(" {rate: 400 fps, keep: every 10th}") == StepRecording(Self.tenth))
    #expect(try recording(" {rate: 400 fps, average: 8}") == StepRecording(Self.averaged))
    #expect(try recording(" {keep: all}") == .all)
    let region = try #require(PixelRegion(width: 256, height: 128, left: 64, top: 32))
    for text in ["256 x 128 at 64, 32", "256×128 at 64,32", "256X128 AT 64 , 32"] {
      #expect(try recording(" {region: '\(text)'}") == StepRecording(Recording(region: region)))
    }
    // The comma of a region divides entries between braces; it is read as it is meant.
    #expect(
      try recording(" {region: 256 x 128 at 64, 32, rate: 5 fps}")
        == StepRecording(Recording(rate: Hertz(5), region: region)))
    #expect(region.description == "256 x 128 at 64, 32")
    let trigger = FrameTrigger(.change, .above, 0.5, before: Seconds(10), after: Seconds(5))
    let full = Recording(rate: Hertz(400), keep: .none, region: region, trigger: trigger)
    let written = try recording(
      """

            rate: 400 fps
            keep: none
            region: 256 x 128 at 64, 32
            trigger: {when: "change > 0.5", before: 10 s, after: 5 s}
      """)
    #expect(written == StepRecording(full))
    #expect(full.description == "none at 400 fps, region 256 x 128 at 64, 32, when change > 0.5")
  }

  @Test(
    "Every statistic of a frame can trigger, on both sides of a plain number",
    arguments: [
      ("mean > 10", .mean, .above, 10), ("minimum < 3", .minimum, .below, 3), ("maximum > 6e4", .maximum, .above, 6e4),
      ("sum > 1e9", .sum, .above, 1e9), ("saturated > 0", .saturated, .above, 0), ("Change>0.5", .change, .above, 0.5),
      ("region 1 > 10", .region(1), .above, 10), ("region  16 < -2.5", .region(16), .below, -2.5),
    ] as [(String, FrameTrigger.Statistic, StopCondition.Comparison, Double)])
  func triggers(
    written: String, statistic: FrameTrigger.Statistic, comparison: StopCondition.Comparison, threshold: Double
  ) throws {
    let text = " {keep: none, trigger: {when: '\(written)', after: 1 s}}"
    let trigger = try #require(recording(text).everyCamera.trigger)
    #expect(trigger == FrameTrigger(statistic, comparison, threshold, before: .zero, after: Seconds(1)))
    let inside = comparison == .above ? threshold + 1 : threshold - 1
    #expect(trigger.isMet(by: inside))
    #expect(!trigger.isMet(by: threshold))
    #expect(!trigger.isMet(by: .nan))
    #expect(!trigger.isMet(by: .infinity) && !trigger.isMet(by: -.infinity))
  }

  @Test("Cameras are recorded by name, and those not named stand still")
  func byName() throws {
    let step = try recording(
      """

            cameras:
              image: 400 fps
              diffraction: {rate: 100 fps, region: 512 x 512 at 0, 0}
              hologram: off
      """)
    #expect(step["image"] == .rate(Hertz(400)))
    #expect(
      step["diffraction"]
        == Recording(rate: Hertz(100), region: PixelRegion(width: 512, height: 512, left: 0, top: 0)))
    #expect(step["hologram"] == .off && step["camera"] == .off)
    #expect(!step.isOff)
    #expect(try recording(" {cameras: {a: off}}").isOff)
    #expect(
      step.description == "diffraction 100 fps, region 512 x 512 at 0, 0; hologram off; image 400 fps")
    #expect(StepRecording.rate(Hertz(5))["whatever"] == .rate(Hertz(5)))
  }

  @Test("A look back stands before the step that follows it, or after the last one")
  func lookBack() throws {
    let all = try CompiledProtocol(parsing: recordingText)
    #expect(all.steps.map(\.keepBefore?.value) == [nil, nil, nil, 2.5, nil, 2.5, nil, nil, nil])
    #expect(all.keepAtEnd == Seconds(60))
    let met = try compiled(
      "- Rest for 1 s\n- repeat: 2\n  steps:\n    - Rest for 1 s\n    - Keep the last 5 s\n- Keep the last 2 s\n- Rest for 1 s"
    )
    #expect(met.steps.map(\.keepBefore?.value) == [nil, nil, 5, 5])
    #expect(met.keepAtEnd == nil)
  }

  @Test("The cameras of a protocol are listed where they are named first, and held against those that are there")
  func named() throws {
    let all = try CompiledProtocol(parsing: recordingText)
    #expect(all.cameras.map(\.name) == ["image", "diffraction pattern", "hologram"])
    #expect(all.cameras.map(\.line) == [32, 33, 34])
    #expect(all.cameras.allSatisfy { $0.column == 11 })
    func planned(_ names: String...) -> [PlannedCamera] {
      names.map { PlannedCamera(name: $0, width: 512, height: 512, bytesPerPixel: 2) }
    }
    #expect(all.hindrances(on: planned("image", "diffraction pattern", "hologram", "other")) == [])
    let unknown = all.hindrances(on: planned("imgae"))
    #expect(unknown.map(\.line) == [32, 33, 34])
    #expect(unknown[0].description == "line 32, column 11: there is no camera “image”; did you mean “imgae”?")
    #expect(unknown[1].text == "there is no camera “diffraction pattern”; known here: imgae")
    #expect(all.hindrances(on: []).last?.text == "there is no camera “hologram”; no camera is there")
  }

  @Test("A region that a camera does not have is refused once for each line")
  func beyond() throws {
    let compiled = try compiled(
      "- repeat: 3\n  steps:\n    - Rest for 1 s: {record: {region: '256 x 256 at 0, 1'}}\n- Rest for 1 s: {record: off}"
    )
    func errors(_ width: Int, _ height: Int) -> [ProtocolError] {
      compiled.hindrances(on: [PlannedCamera(name: "camera", width: width, height: height, bytesPerPixel: 2)])
    }
    #expect(errors(256, 257) == [])
    #expect(
      errors(256, 256).map(\.description) == [
        "line 10, column 1: the region 256 x 256 at 0, 1 is beyond the 256 x 256 pixels of the camera “camera”; write a"
          + " region within them"
      ])
  }

  @Test("A region counts the pixels that a frame has")
  func pixels() throws {
    let region = try #require(PixelRegion(width: 10, height: 10, left: 95, top: 4))
    #expect(region.pixels(in: 200, 200) == 100)
    #expect(region.pixels(in: 100, 10) == 30)
    #expect(region.pixels(in: 50, 50) == 0)
    #expect(PixelRegion(width: 1, height: 1, left: PixelRegion.maximumEdge - 1, top: 0) != nil)
    for (width, height, left, top) in [
      (0, 1, 0, 0), (1, 0, 0, 0), (1, 1, -1, 0), (1, 1, 0, -1), (2, 1, 65_535, 0), (1, 65_537, 0, 0),
      (.max, .max, .max, .max),
    ] {
      #expect(PixelRegion(width: width, height: height, left: left, top: top) == nil)
    }
  }
}
