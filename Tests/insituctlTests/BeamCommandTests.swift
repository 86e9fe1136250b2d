import ControlProtocol
import FakeDaemon
import JSON
import Linux
import Testing

@testable import insituctl

@Suite("The beam's commands")
struct BeamCommandTests {
  private func parse(_ line: String) throws -> Command {
    try CommandParser.parse(["beam"] + line.split(separator: " ").map(String.init), environment: [:]).command
  }

  @Test(
    "words become commands",
    arguments: [
      ("show", .show), ("forget", .forget), ("calibrate", .calibrate(camera: nil, time: nil)),
      ("calibrate --camera diffraction --time 20s", .calibrate(camera: "diffraction", time: "20s")),
    ] as [(String, BeamCommand)])
  func vocabulary(line: String, command: BeamCommand) throws {
    #expect(try parse(line) == .beam(command))
  }

  @Test(
    "wrong words are refused with what would be right",
    arguments: [
      ("", "goes on with show, calibrate, forget"), ("calibrat", "did you mean “calibrate”?"),
      ("calibrate --time 20", "has no unit"), ("calibrate --camera", "needs a value"),
      ("show all", "one word too many"), ("show --camera x", "has no option “--camera”"),
    ])
  func wrong(line: String, words: String) throws {
    let error = #expect(throws: ControlError.self) { try parse(line) }
    #expect(error?.kind == .usage)
    let text = error.map { "\($0)" } ?? ""
    #expect(text.contains(words), "\(text)")
  }

  private static let calibration: JSONValue = [
    "rate_e_per_A2_s": 2.5123, "uncertainty_e_per_A2_s": 0.0561, "camera": "camera",
    "calibrated": "2026-03-01T12:00:00.000Z", "frames": 1990, "exposure_s": 0.0024, "mean_counts": 2.4001,
    "scatter": 0.0025, "drift": 0.002, "has_drifted": true,
    "parts": ["statistical": 0.00006, "counts_per_electron": 0.01, "pixel_size": 0.02, "drift": 0.0012],
    "warnings": ["the beam changed by 0.20 %"],
  ]
  private static let beam: JSONValue = [
    "rate_e_per_A2_s": 2.5123, "uncertainty_e_per_A2_s": 0.0561, "source": "calibration", "camera": "camera",
    "calibrated": "2026-03-01T12:00:00.000Z", "age_s": 90,
  ]

  @Test("calibrate says first how the beam must be, asks with camera and time, and prints the rate with its parts")
  func calibrate() throws {
    let asked = Monitor<[String: JSONValue]>([:])
    let daemon = try FakeDaemonServer("beam-calibrate") { request in
      if request.method == .hello { return .success(FakeDaemonServer.hello) }
      guard request.method == .beamCalibrate else { return nil }
      asked.update { $0 = request.parameters }
      return .success(Self.calibration)
    }
    let outcome = run("beam", "calibrate", "--camera", "x", "--time", "0.5 s", endpoint: daemon.endpoint)
    #expect(outcome.code == 0)
    #expect(outcome.remarks.first?.contains("on vacuum") == true && outcome.remarks.count == 2, "\(outcome.remarks)")
    #expect(asked.read { $0 } == ["camera": "x", "time": "0.5 s"])
    #expect(
      outcome.printed == [
        "Dose rate: 2.512 ± 0.056 e/A^2/s", "  1990 frames of 2.40 ms, 2.400 counts per pixel, scatter 0.250 %",
        "  standard uncertainty: counting 0.006 %, counts per electron 1.000 %, pixel size 2.000 %, drift 0.120 %",
        "warning: the beam changed by 0.20 %",
      ])
    let json = run("beam", "calibrate", "--json", "--quiet", endpoint: daemon.endpoint)
    #expect(json.document == Self.calibration && json.remarks.isEmpty)
    #expect(asked.read { $0 }.isEmpty)
  }

  @Test("show tells the rate in force, where it is from and how old it is; forget tells what is left")
  func show() throws {
    let daemon = try FakeDaemonServer("beam-show") { request in
      switch request.method {
      case .hello: .success(FakeDaemonServer.hello)
      case .beamShow:
        .success([
          "beam": Self.beam, "calibration": Self.calibration,
          "configured": ["rate_e_per_A2_s": 2, "uncertainty_e_per_A2_s": 0.2],
        ])
      case .beamForget: .success(["forgotten": true, "beam": .null])
      default: .success(Fixtures.status())
      }
    }
    let shown = run("beam", "show", endpoint: daemon.endpoint).printed
    #expect(shown.first == "Dose rate: 2.512 ± 0.056 e/A^2/s, calibrated with camera 90.0 s ago", "\(shown)")
    #expect(shown.contains("  configured: 2.00 ± 0.20 e/A^2/s"))
    #expect(
      run("beam", "forget", endpoint: daemon.endpoint).printed == [
        "The calibration is forgotten.", "Dose rate: not known; measure it: insituctl beam calibrate",
      ])
  }

  @Test("status has a line for the beam where a dose rate is known")
  func status() {
    var members = Fixtures.status().object ?? [:]
    #expect(!StatusText.lines(.object(members)).contains { $0.hasPrefix("beam") })
    members["beam"] = Self.beam
    let line = StatusText.lines(.object(members)).first { $0.hasPrefix("beam") }
    #expect(line?.contains("2.512 ± 0.056 e/A^2/s, calibrated with camera") == true, "\(line ?? "")")
  }
}
