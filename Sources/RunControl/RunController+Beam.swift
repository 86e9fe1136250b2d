import Alignment
import ControlProtocol
import FrameIngest
import FrameRing
import JSON
import Journal
import Linux
import Quantities
import RunStore

/// Measuring the dose rate with the beam on vacuum.
extension RunController {
  private static let usualTime = Seconds(5)
  private static let times = Seconds(0.5)...Seconds(600)
  /// Beside an exposure: until the first frame of a series.
  private static let firstFramePatience = Seconds(5)
  /// How long a camera may take to come to the end of its series.
  private static let drainPatience = Seconds(5)
  /// A stop is heard after this at the latest.
  private static let glance = Seconds(0.1)

  /// Answers when the calibration is over, on a thread of its own: it takes longer than others should wait.
  func calibrateBeam(_ request: ControlRequest, _ answer: @escaping Answer) {
    do throws(ControlError) {
      let stopsBefore = beamStops.read { $0 }
      let length = try Self.time(request.text("time"))
      let (station, dosimetry) = try calibrating(request.text("camera"))
      try occupy("calibrating the beam")
      _ = NamedThread("beam") { [self] in
        let result: Result<JSONValue, ControlError>
        do throws(ControlError) {
          result = .success(try calibrate(station, dosimetry, length, stopsBefore))
        } catch { result = .failure(error) }
        occupation.update { if case .operating = $0 { $0 = .idle } }
        answer(result)
      }
    } catch { answer(.failure(error)) }
  }

  /// Ends the calibration that is going on; the camera stops, and nothing is kept.
  func stopCalibration() -> JSONValue {
    beamStops.update { $0 += 1 }
    return ["accepted": true]
  }

  func forgetBeam() -> Result<JSONValue, ControlError> {
    guard occupation.read({ if case .idle = $0 { true } else { false } }) else {
      return .failure(
        ControlError(
          .busy, "a run or a calibration is going on, which needs the dose rate", remedy: "Wait for its end."))
    }
    do throws(LinuxError) {
      let wasThere = try beam.forget()
      if wasThere { event("beam_forgotten", "the beam's calibration is forgotten", in: nil) }
      return .success(["forgotten": .bool(wasThere), "beam": beam.json(now: HostClockReading.now.unixNanoseconds)])
    } catch {
      return .failure(ControlError(.io, "the beam's calibration cannot be removed: \(error)"))
    }
  }

  // MARK: What is asked for

  private static func time(_ text: String?) throws(ControlError) -> Seconds {
    guard let text else { return usualTime }
    let remedy = "Write \(times.lowerBound) to \(times.upperBound), such as “5 s”."
    let time: Seconds
    do throws(QuantityError) { time = try Seconds(parsing: text) } catch {
      throw ControlError(.usage, "\(error)", remedy: remedy)
    }
    guard times.contains(time) else {
      throw ControlError(.usage, "a calibration of \(time) is not possible", remedy: remedy)
    }
    return time
  }

  /// The camera that was named, else the only one that knows its electrons.
  private func calibrating(_ name: String?) throws(ControlError) -> (CameraStation, FrameDosimetry) {
    let stations = instruments.cameras
    let names = stations.map(\.name).joined(separator: ", ")
    let able = stations.filter { $0.setup.dosimetry != nil }
    let chosen: CameraStation
    if let name {
      guard let named = stations.first(where: { $0.name == name }) else {
        throw ControlError(
          .usage, "there is no camera “\(name)”",
          remedy: stations.isEmpty ? "Add one to the daemon's configuration." : "Cameras: \(names).")
      }
      chosen = named
    } else if able.count == 1 || stations.count == 1 {
      chosen = able.first ?? stations[0]
    } else if stations.isEmpty {
      throw ControlError(
        .unavailable, "no camera is configured that could measure the beam",
        remedy: "Add one to the daemon's configuration, or write beam.dose_rate into it.")
    } else {
      throw ControlError(
        .usage, "there are several cameras: \(names)", remedy: "Name one: insituctl beam calibrate --camera NAME.")
    }
    guard let dosimetry = chosen.setup.dosimetry else {
      let missing = [
        chosen.setup.countsPerElectron == nil ? "counts_per_electron" : nil,
        chosen.setup.pixelSize == nil ? "pixel_size" : nil,
      ].compactMap { $0 }
      throw ControlError(
        .configuration, "the configuration of \(words(chosen)) lacks \(missing.joined(separator: " and "))",
        remedy: "Write for example “counts_per_electron: 12.5 +- 0.4” and “pixel_size: 0.52 A +- 1 %” there.")
    }
    return (chosen, dosimetry)
  }

  // MARK: The calibration's thread

  private func calibrate(
    _ station: CameraStation, _ dosimetry: FrameDosimetry, _ length: Seconds, _ stopsBefore: UInt64
  ) throws(ControlError) -> JSONValue {
    if let reason = board[station.name]?.error {
      throw ControlError(
        .unavailable, "\(words(station)) cannot be reached: \(reason)", remedy: "Look at: insituctl devices.")
    }
    event("beam", "calibration of the beam begins with \(words(station)), for \(length)", in: nil)
    var measurement = BeamMeasurement(dosimetry, length: length)
    let calibration: BeamCalibration
    do throws(BeamMeasurement.Problem) {
      try collect(from: station, into: &measurement, length, stopsBefore)
      let wasStopped = beamStops.read { $0 } != stopsBefore
      calibration = try measurement.result(
        camera: station.name, unixNanoseconds: HostClockReading.now.unixNanoseconds, wasStopped: wasStopped)
    } catch {
      throw refusal(error, station, length)
    }
    do throws(LinuxError) { try beam.keep(calibration) } catch {
      throw ControlError(
        .io, "the beam was measured, but its calibration cannot be stored: \(error)",
        remedy: "Make room in \(data.path), and calibrate again.")
    }
    event(
      "beam_calibrated", calibration.doseRate.sentence, details: calibration.json.object ?? [:], in: nil, .notice)
    for warning in calibration.warnings { event("beam", warning, in: nil, .warning) }
    return calibration.json
  }

  /// Collects frames until the time is over or somebody stops it. A camera that was started here is stopped here.
  private func collect(
    from station: CameraStation, into measurement: inout BeamMeasurement, _ length: Seconds, _ stopsBefore: UInt64
  ) throws(BeamMeasurement.Problem) {
    let setup = station.setup
    let onlooker = FrameOnlooker(station.ring, setup.statistics)
    func next(until end: MonotonicTime) -> FrameHeader? {
      while MonotonicTime.now < end, beamStops.read({ $0 }) == stopsBefore {
        if let frame = onlooker.frame(atMost: min(Self.glance, end - .now)) { return frame }
      }
      return nil
    }
    // A camera that watches sends frames already.
    var first = setup.watch.flatMap { next(until: .now + Seconds(1 + 2 / $0.value)) }
    let isStarted = first == nil
    if isStarted {
      station.send(CameraDemand.run(rate: nil).command(series: 0, exposure: setup.exposure, step: .max))
      first = next(until: .now + Self.firstFramePatience + setup.exposure * 2)
    }
    defer {
      if isStarted {
        if !station.stop(within: Self.drainPatience) {
          event("camera_warning", "\(words(station)) did not come to the end of its series", in: nil, .warning)
        }
        watchBetweenRuns([station])
      }
    }
    guard let first else { return }
    try measurement.add(first)
    let end = first.arrival + length
    while let frame = next(until: end) { try measurement.add(frame) }
  }

  private func refusal(_ problem: BeamMeasurement.Problem, _ station: CameraStation, _ length: Seconds) -> ControlError
  {
    let camera = words(station)
    let again = "then calibrate again."
    let (message, remedy): (String, String) =
      switch problem {
      case .stopped: ("the calibration was stopped, and nothing is kept", "Begin it again.")
      case .noStatistics: ("the frames of \(camera) could not be measured", "Look at the daemon's log.")
      case .noExposure:
        (
          "the frames of \(camera) do not tell their exposure, without which they say no rate",
          "Calibrate with another camera, or write beam.dose_rate into the daemon's configuration."
        )
      case .otherShape:
        ("the frames of \(camera) changed their size", "Leave the camera alone meanwhile, and calibrate again.")
      case .fullPixels(let most):
        (
          "pixels of \(camera) are at \(most), the most that they can hold",
          "Spread the beam, or shorten the exposure. Where these are a few hot pixels, write “statistics: {saturation: "
            + "\(most)}” for the camera, so that they are counted."
        )
      case .saturated(let share):
        (
          "\(fixed(share * 100, decimals: 1)) % of the counts of \(camera) are in saturated pixels",
          "Spread the beam, or shorten the exposure; \(again)"
        )
      case .noCounts:
        ("the frames of \(camera) have no counts", "Let the beam onto the camera, unblanked; \(again)")
      case .tooFewFrames(let count):
        (
          "\(count == 0 ? "no frame" : "\(count) frames") came from \(camera) within \(length); at least "
            + "\(BeamMeasurement.fewestFrames) are needed, in both halves of the time",
          count == 0 ? "Look at: insituctl devices, and at the daemon's log." : "Give it longer, with --time."
        )
      }
    return ControlError(.unavailable, message, remedy: remedy)
  }
}
