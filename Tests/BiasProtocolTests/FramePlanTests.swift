import BiasProtocol
import JSON
import Quantities
import Testing

@Suite struct FramePlanTests {
  private let image = PlannedCamera(name: "image", width: 1000, height: 100, bytesPerPixel: 2)
  private let passive = PlannedCamera(name: "passive", width: 10, height: 10, bytesPerPixel: 2, rate: Hertz(50))

  private func plan(_ option: String, _ cameras: PlannedCamera...) throws -> Plan {
    try compiled("- Rest for 10 s:\n    record: \(option)").plan(cameras: cameras, indexBytes: 64)
  }

  @Test(
    "What is written counts, with the bytes that it has on the disk",
    arguments: [
      ("400 fps", 4000, 200_000),
      ("every 10th at 400 fps", 400, 200_000),
      ("every 3rd at 400 fps", 1334, 200_000),
      ("400 fps, keep 7 fps", 70, 200_000),
      ("keep 7 fps", 70, 200_000),
      ("none at 400 fps", 0, 200_000),
      ("off", 0, 200_000),
      ("averages of 8 at 400 fps", 500, 400_000),
      ("averages of 8 at 400 fps, keep 5 fps", 50, 400_000),
      ("{rate: 400 fps, region: 10 x 20 at 0, 0}", 4000, 400),
      ("{rate: 400 fps, region: 10 x 20 at 995, 0}", 4000, 200),
      ("{rate: 400 fps, average: 4, region: 10 x 20 at 0, 0}", 1000, 800),
    ])
  func written(option: String, frames: Int, bytes: Int) throws {
    let plan = try plan(option, image)
    #expect(plan.frames == PlannedFrames(frames: frames, bytes: frames * (bytes + 64)))
    #expect(plan.warnings == [])
  }

  @Test("A camera that decides itself counts at its rate, and is not counted where that is unknown")
  func passiveCamera() throws {
    #expect(try plan("all", passive).frames.frames == 500)
    #expect(try plan("every 10th", passive).frames.frames == 50)
    #expect(try plan("averages of 10", passive).frames.frames == 50)
    #expect(try plan("keep 2 fps", passive).frames.frames == 20)
    #expect(try plan("keep 200 fps", passive).frames.frames == 500)
    for option in ["all", "every 10th", "averages of 10"] {
      let plan = try plan(option, image)
      #expect(!plan.frames.areComplete && plan.frames.frames == 0)
      #expect(
        plan.warnings == ["line 8: how many frames the camera sends is not known, so their bytes are not counted"])
    }
  }

  @Test("A trigger counts as for once, and says that more may come")
  func trigger() throws {
    let once = try plan("{rate: 100 fps, keep: none, trigger: {when: mean > 1, before: 5 s, after: 2 s}}", image)
    #expect(once.frames == PlannedFrames(frames: 700, bytes: 700 * 200_064, areComplete: false))
    #expect(
      once.warnings == [
        "line 8: how often “when mean > 1” starts the writing of the camera is not known; its frames are counted as for once"
      ])
    #expect(once.summary.contains("700 frames and what the camera sends"))
    #expect(once.table().contains("700+"))
    // What is kept anyway is not written twice; after the step nothing of it goes on.
    let thinned = try plan(
      "{rate: 100 fps, keep: every 10th, trigger: {when: mean > 1, before: 5 s, after: 60 s}}", image)
    #expect(thinned.frames.frames == 100 + 15 * 90)
  }

  @Test("A look back writes what the ring still may hold of frames that nobody kept")
  func lookBack() throws {
    let steps = """
      - Rest for 4 s: {record: every 10th at 100 fps}
      - Rest for 4 s: {record: none at 10 fps}
      - Keep the last 5 s
      - Rest for 4 s: {record: 400 fps}
      - Keep the last 100 s
      """
    let plan = try compiled(steps).plan(cameras: [image], indexBytes: 64)
    // 90 of 100 frames a second were left in the ring by the first step, at most.
    #expect(plan.steps.map(\.frames.frames) == [40, 0, 5 * 90 + 1600])
    #expect(plan.frames.frames == 40 + 450 + 1600 + 12 * 90)
    #expect(plan.keepAtEnd == Seconds(100))
    #expect(plan.json["keep_at_end_s"]?.double == 100)
    #expect(plan.table().contains("(the last 5 s are kept)"))
    #expect(plan.table().contains("(the last 100 s are kept)"))
    #expect(plan.warnings == [])
  }

  @Test("A look back where no camera ran before is told of, once")
  func nothingToKeep() throws {
    let before = try compiled("- repeat: 2\n  steps:\n    - Keep the last 5 s\n    - Rest for 1 s").plan(
      cameras: [image], indexBytes: 64)
    #expect(before.warnings == ["line 11: “Keep the last 5 s” may find nothing: no step before it runs a camera"])
    let after = try compiled("- Rest for 1 s\n- Keep the last 5 s").plan(cameras: [image], indexBytes: 64)
    #expect(after.warnings == ["“Keep the last 5 s” may find nothing: no step before it runs a camera"])
    #expect(after.frames == PlannedFrames())
    let running = try compiled("- Rest for 1 s: {record: none at 10 fps}\n- Keep the last 5 s").plan(
      cameras: [image], indexBytes: 64)
    #expect(running.warnings == [] && running.frames.frames == 10)
  }

  @Test("A camera that watches while nothing is recorded can be looked back on")
  func watching() throws {
    let watching = PlannedCamera(name: "image", width: 10, height: 10, bytesPerPixel: 2, watch: Hertz(20))
    let plan = try compiled("- Rest for 4 s\n- Keep the last 3 s\n- Rest for 4 s").plan(
      cameras: [watching], indexBytes: 64)
    #expect(plan.steps.map(\.frames.frames) == [0, 60])
    #expect(plan.warnings == [])
  }

  @Test("Several cameras are counted each for itself and together, and those not named not at all")
  func cameras() throws {
    let plan = try plan(
      "{cameras: {image: 10 fps, passive: every 5th}}", image, passive,
      PlannedCamera(
        name: "third", width: 1, height: 1, bytesPerPixel: 1))
    #expect(plan.cameras.map(\.camera.name) == ["image", "passive", "third"])
    #expect(plan.cameras.map(\.frames.frames) == [100, 100, 0])
    #expect(plan.cameras.map(\.frames.bytes) == [100 * 200_064, 100 * 264, 0])
    #expect(plan.frames == PlannedFrames(frames: 200, bytes: 100 * 200_064 + 100 * 264))
    #expect(plan.table().contains("camera “passive”: 100 frames, 26.4 kB"))
    #expect(plan.table().contains("image 10 fps; passive every 5th"))
    #expect(plan.json["cameras"]?.array?.map { $0["name"] } == ["image", "passive", "third"])
    let together = try self.plan("20 fps", image, passive)
    #expect(together.frames.frames == 400)
    #expect(try self.plan("20 fps").frames == PlannedFrames())
  }
}
