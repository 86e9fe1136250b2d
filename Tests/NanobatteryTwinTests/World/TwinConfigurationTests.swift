import Quantities
import Testing

@testable import NanobatteryTwin

private func parse(_ text: String) throws -> TwinConfiguration {
  try TwinConfiguration(parsing: Array(text.utf8), file: "twin.yaml", runtime: "/run/x")
}

@Suite("The twin's configuration")
struct TwinConfigurationTests {
  @Test("A camera that sends as a DECTRIS detector, and what goes wrong on the way")
  func stream() throws {
    let text = """
      twin:
        camera: {stream: simplon2, scene: vacuum, address: "tcp://127.0.0.1:31001", control: "127.0.0.1:8080"}
        faults:
          - {reorder_frames: 1, every: 40}
          - {damage_frames: 2, every: 60}
          - {break_stream: 500 ms, at_frame: 200}
      """
    let configuration = try TwinConfiguration(parsing: Array(text.utf8), file: "twin.yaml", runtime: "/run")
    #expect(configuration.camera.stream == .simplon2)
    #expect(configuration.camera.address == "tcp://127.0.0.1:31001")
    #expect(configuration.camera.seesVacuum)
    #expect(configuration.camera.control == "127.0.0.1:8080")
    #expect(configuration.cameraFaults.reorder == .init(frames: 1, every: 40))
    #expect(configuration.cameraFaults.damage == .init(frames: 2, every: 60))
    #expect(configuration.cameraFaults.absence?.frame == 200)
    #expect(configuration.cameraFaults.absence?.span == Seconds(0.5))
    let other = "twin:\n  camera: {stream: tape}\n"
    #expect(throws: TwinConfigurationError.self) {
      try TwinConfiguration(parsing: Array(other.utf8), file: "twin.yaml", runtime: "/run")
    }
  }

  @Test("Nothing but the section's name gives the defaults; other sections are left alone")
  func defaults() throws {
    let configuration = try parse("data: somewhere\nholder: {foo: 1}\ntwin:\n")
    #expect(configuration.seed == 1 && configuration.truth == nil)
    #expect(configuration.cell == CellParameters())
    #expect(configuration.camera.width == 1024 && configuration.camera.dose == 1000)
    #expect(!configuration.camera.seesVacuum)
    #expect(configuration.unplugs.isEmpty)
  }

  @Test("Every key is read, with its unit")
  func everything() throws {
    let configuration = try parse(
      """
      twin:
        seed: 42
        truth: "{runtime}/truth"
        command: insitu-twin
        cell: {capacity: 30 pC, state_of_charge: 0.5, exchange_current: 1 pA, series_resistance: 500 MOhm,
          double_layer: 1 pF, stray_capacitance: 5 pF, leakage_resistance: 1e15 Ohm,
          self_discharge_resistance: 1e15 Ohm, flicker_noise: 0 fA, thermal_noise: false, diffusion_time: 3 s, plateau: 0.9 V}
        potentiostat: {noise: 10 fA, source_offset: -5 fA, measure_offset: 7 fA,
          clock: {offset: 1 h, drift: -120 ppm, wander: 300 ppb}}
        holder: {clock: {drift: 20 ppm}}
        camera: {width: 512, height: 256, dose: 4000 e/px/s, serial: X1, ring_slots: 8, ring_directory: "{runtime}",
          clock: {offset: 2 s}, stream: merlin, address: "127.0.0.1:7342", period: 20 ms}
        faults:
          - {unplug: potentiostat, after_output_on: 5 s}
          - {unplug: holder, after: 10 s, replug_after: 3 s}
          - {lose_frames: 3, every: 100}
          - {repeat_frames: 1, every: 50}
          - {stall_camera: 300 ms, after: 2 s}
          - {reorder_frames: 1, every: 40}
          - {garbage_before: 1, every: 60}
          - {break_behind: 1, every: 500}
      """)
    #expect(configuration.seed == 42 && configuration.truth == "/run/x/truth")
    #expect(configuration.cell.capacity.value == 30e-12 && configuration.cell.initialStateOfCharge == 0.5)
    #expect(configuration.cell.seriesResistance.value == 5e8)
    #expect(configuration.cell.strayCapacitance.value == 5e-12 && !configuration.cell.thermalNoise)
    #expect(configuration.cell.slowDiffusion.timeConstant == Seconds(3))
    #expect(configuration.cell.curve.base == 0.9)
    #expect(configuration.potentiostat.sourceOffset.value == -5e-15)
    #expect(
      configuration.potentiostat.clock
        == TwinConfiguration.Clock(offset: Seconds(3600), driftPPM: -120, wanderPPB: 300))
    #expect(configuration.holderClock.driftPPM == 20)
    #expect(configuration.camera.ringDirectory == "/run/x" && configuration.camera.dose == 4000)
    #expect(
      configuration.unplugs == [
        PlannedUnplug(instrument: .potentiostat, moment: .afterOutputOn(Seconds(5))),
        PlannedUnplug(instrument: .holder, moment: .afterStart(Seconds(10)), replugAfter: Seconds(3)),
      ])
    #expect(configuration.cameraFaults.lose == CameraFaults.Pattern(frames: 3, every: 100))
    #expect(configuration.cameraFaults.repeat == CameraFaults.Pattern(frames: 1, every: 50))
    #expect(configuration.cameraFaults.stall?.span == Seconds(0.3))
    #expect(configuration.cameraFaults.reorder == CameraFaults.Pattern(frames: 1, every: 40))
    #expect(configuration.cameraFaults.garbage == CameraFaults.Pattern(frames: 1, every: 60))
    #expect(configuration.cameraFaults.breakOff == CameraFaults.Pattern(frames: 1, every: 500))
    #expect(configuration.camera.stream == .merlin && configuration.camera.address == "127.0.0.1:7342")
    #expect(configuration.camera.period == Seconds(0.02))
  }

  @Test(
    "What is wrong is said with file, line and column",
    arguments: [
      ("twin:\n  cel: {}\n", "twin.yaml:2:3:", "did you mean “cell”"),
      ("twin:\n  cell: {capcity: 60 pC}\n", "twin.yaml:2:10:", "did you mean “capacity”"),
      ("twin:\n  cell:\n    capacity: 60 pA\n", "twin.yaml:3:15:", "a charge is needed"),
      ("twin:\n  cell: {capacity: 60}\n", "twin.yaml:2:20:", "no unit"),
      ("twin:\n  cell: {capacity: 0 pC}\n", "twin.yaml:2:20:", "more than zero"),
      ("twin:\n  cell: {state_of_charge: 2}\n", "twin.yaml:2:27:", "0…1"),
      ("twin: 7\n", "twin.yaml:1:7:", "must be a mapping"),
      ("cell: {}\n", "twin.yaml:1:1:", "“twin” is missing"),
      ("twin:\n  camera: {dose: 3 e/A^2}\n", "twin.yaml:2:18:", "e/px/s is meant"),
      ("twin:\n  camera: {stream: gatan}\n", "twin.yaml:2:20:", "merlin"),
      ("twin:\n  camera: {address: \"127.0.0.1:1\"}\n", "twin.yaml:2:21:", "no meaning"),
      ("twin:\n  camera: {stream: merlin, period: 0 s}\n", "twin.yaml:2:36:", "more than zero"),
      ("twin:\n  holder: {clock: {drift: 3 s}}\n", "twin.yaml:2:27:", "is needed here"),
      ("twin:\n  faults: [{unplug: camera, after: 1 s}]\n", "twin.yaml:2:21:", "known: potentiostat, holder"),
      ("twin:\n  faults: [{unplug: holder}]\n", "twin.yaml:2:12:", "after_output_on"),
      ("twin:\n  faults: [{lose_frames: 3}]\n", "twin.yaml:2:12:", "every"),
      ("twin:\n  faults: [{lose_frames: 3, every: 9, after: 1 s}]\n", "twin.yaml:2:39:", "no meaning beside"),
      ("twin:\n  faults: [{lose_frames: 3, stall_camera: 1 s}]\n", "twin.yaml:2:12:", "exactly one"),
      ("twin: [", "twin.yaml:", ""),
    ])
  func errors(text: String, place: String, remedy: String) {
    do {
      _ = try parse(text)
      Issue.record("“\(text)” was taken")
    } catch {
      #expect("\(error)".hasPrefix(place))
      #expect(remedy.isEmpty || "\(error)".contains(remedy))
    }
  }

  @Test("A cable goes when planned, comes back when planned, and each only once")
  func unplugging() {
    let start = MonotonicTime(nanoseconds: 0)
    func at(_ seconds: Double) -> MonotonicTime { start + Seconds(seconds) }
    var schedule = UnplugSchedule(
      [
        PlannedUnplug(instrument: .holder, moment: .afterStart(Seconds(1)), replugAfter: Seconds(2)),
        PlannedUnplug(instrument: .potentiostat, moment: .afterOutputOn(Seconds(5))),
      ], start: start)
    #expect(schedule.due(at: at(0.5), outputOnSince: nil).isEmpty)
    #expect(schedule.due(at: at(1), outputOnSince: nil) == [.unplug(.holder)])
    #expect(schedule.due(at: at(2), outputOnSince: at(2)).isEmpty)
    #expect(schedule.due(at: at(3), outputOnSince: at(2)) == [.plug(.holder)])
    // An output that has gone off again meanwhile changes nothing.
    #expect(schedule.due(at: at(6.9), outputOnSince: nil).isEmpty)
    #expect(schedule.due(at: at(7), outputOnSince: at(6.95)) == [.unplug(.potentiostat)])
    #expect(schedule.due(at: at(20), outputOnSince: at(6.95)).isEmpty)
  }
}
