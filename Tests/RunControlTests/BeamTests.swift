import Alignment
import ControlProtocol
import FrameRing
import Glibc
import JSON
import Journal
import Linux
import Pixels
import Quantities
import RunStore
import Testing

@testable import RunControl

@Suite("The dose rate in force")
struct BeamTests {
  /// A data directory that is removed with the object.
  private final class Place {
    let data: DataDirectory

    init() throws {
      var template = Array("/tmp/insitud-beam-XXXXXX".utf8CString)
      guard mkdtemp(&template) != nil else { throw LinuxError("mkdtemp") }
      data = try DataDirectory(
        creating: String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }

    deinit {
      FileSystem.remove(data.path + "/beam.json")
      for name in ["/runs", ""] { rmdir(data.path + name) }
    }
  }

  private static let configured = DoseRate(UncertainValue(2, 0.2), from: .configuration)

  private static func calibration(_ rate: Double = 3) -> BeamCalibration {
    BeamCalibration(
      rate: UncertainValue(rate, 0.1), camera: "diffraction", unixNanoseconds: 1_700_000_000_000_000_000, frames: 400,
      exposure: Seconds(0.0024), meanCounts: 2.4, scatter: 0.01, drift: 0.001, hasDrifted: false,
      parts: .init(statistical: 0.001, countsPerElectron: 0.02, pixelSize: 0.02, drift: 0),
      dosimetry: FrameDosimetry(countsPerElectron: UncertainValue(1, 0.02), pixelSize: UncertainValue(20, 0.2)))
  }

  @Test("It is the configured one, then that of the latest calibration, over a restart, until that is forgotten")
  func order() throws {
    let place = try Place()
    let first = Beam(in: place.data, configured: Self.configured, Journal())
    #expect(first.doseRate == Self.configured)
    #expect(try !first.forget())
    try first.keep(Self.calibration())
    try first.keep(Self.calibration(4))
    #expect(first.doseRate?.rate == UncertainValue(4, 0.1))

    let second = Beam(in: place.data, configured: nil, Journal())
    #expect(second.doseRate == Self.calibration(4).doseRate)
    let now: Int64 = 1_700_000_060_000_000_000
    let told = second.json(now: now)
    #expect(told["source"]?.string == "calibration" && told["camera"]?.string == "diffraction")
    #expect(told["age_s"]?.double == 60 && told["uncertainty_e_per_A2_s"]?.double == 0.1)
    #expect(second.details(now: now)["configured"]?.isNull == true)
    #expect(try second.forget())
    #expect(second.doseRate == nil && second.json(now: now).isNull)
    #expect(Beam(in: place.data, configured: Self.configured, Journal()).doseRate == Self.configured)
  }

  @Test(
    "A file that is no calibration counts for nothing, and stays",
    arguments: ["", "{", "{\"version\":1}", "{\"version\":2,\"calibration\":{}}", "{\"version\":1,\"calibration\":{}}"])
  func damaged(text: String) throws {
    let place = try Place()
    let path = place.data.path + "/beam.json"
    try FileSystem.replace(path, with: Array(text.utf8))
    let beam = Beam(in: place.data, configured: Self.configured, Journal())
    #expect(beam.doseRate == Self.configured)
    #expect(try FileSystem.read(path) == Array(text.utf8))
    try beam.keep(Self.calibration())
    #expect(Beam(in: place.data, configured: nil, Journal()).calibration != nil)
  }

  @Test("The dose of frames has the rate's own uncertainty")
  func options() {
    let options = RunAlignment.Options(Self.calibration().doseRate)
    #expect(options.doseRate == 3)
    #expect(abs(options.doseRateUncertainty - 0.1 / 3) < 1e-12)
    #expect(RunAlignment.Options(nil).doseRate == nil)
  }

  // MARK: what operators ask for

  private func ask(
    _ bench: ControllerBench, _ method: ControlMethod, _ parameters: [String: JSONValue] = [:]
  ) throws -> JSONValue {
    let reply = ControllerBench.Reply(nil)
    bench.controller.handle(ControlRequest(id: nil, method: method, parameters: parameters), endpoints: .null) {
      result in reply.update { $0 = result }
    }
    return try ControllerBench.wait(reply)
  }

  @Test("Without a dose rate, a dose limit is refused and the remedy names the calibration")
  func limit() throws {
    let bench = try ControllerBench()
    defer { bench.end() }
    let text = """
      protocol: 1
      name: dose
      limits: {dose: 5 e/A^2, voltage: [-1 V, 1 V], current: [-1 nA, 1 nA]}
      steps:
        - Rest for 1 s
      """
    let error = #expect(throws: ControlError.self) {
      try ask(bench, .protocolCheck, ["protocol": .string(text), "file": "x.yaml"])
    }
    #expect(error?.remedy.contains("insituctl beam calibrate") == true, "\(error.map { "\($0)" } ?? "")")
  }

  @Test("Without a camera there is nothing to calibrate with, and the place of a run stays free")
  func noCamera() throws {
    let bench = try ControllerBench()
    defer { bench.end() }
    let error = #expect(throws: ControlError.self) { try ask(bench, .beamCalibrate) }
    #expect(error?.kind == .unavailable)
    for time in ["5", "1 h", "x"] {
      let refused = #expect(throws: ControlError.self) { try ask(bench, .beamCalibrate, ["time": .string(time)]) }
      #expect(refused?.kind == .usage, "\(time)")
    }
    #expect(throws: ControlError.self) { try ask(bench, .beamCalibrate, ["camera": "other"]) }
    #expect(try ask(bench, .status)["state"]?.string == "idle")
    #expect(try ask(bench, .beamShow)["beam"]?.isNull == true)
    #expect(try ask(bench, .beamForget)["forgotten"]?.bool == false)
  }

  // MARK: frames

  @Test("An onlooker has statistics of frames that came with them, and computes them where they are missing")
  func onlooker() throws {
    let path = "/dev/shm/insitud-onlooker-\(getpid())"
    defer { FrameRing.remove(path) }
    let ring = try FrameRing.create(path, slots: 8, slotBytes: 32)
    func put(_ flags: FrameFlags = [], _ statistics: FrameStatistics? = nil, value: UInt8 = 3) {
      let sequence = ring.write { header, room in
        header = FrameHeader(flags: flags, pixelType: .u8, width: 4, height: 4, statistics: statistics)
        for index in 0..<16 { room[index] = value }
        return true
      }
      if let sequence { ring.release(through: sequence) }
    }
    put()
    let onlooker = FrameOnlooker(ring, try StatisticsSettings(saturationLevel: 7))
    #expect(onlooker.frame(atMost: .zero) == nil)
    put([], FrameStatistics(sum: 5, minimum: 0, maximum: 5))
    put(.repeated)
    put(.seriesEnd)
    put(value: 7)
    #expect(onlooker.frame(atMost: Seconds(1))?.statistics?.sum == 5)
    let measured = onlooker.frame(atMost: Seconds(1))?.statistics
    #expect(measured?.sum == 112 && measured?.saturated == 16 && measured?.maximum == 7)
    #expect(onlooker.frame(atMost: .zero) == nil)
    // One that is too slow goes on with the newest.
    for value in 0..<20 as Range<UInt8> { put(value: value) }
    #expect(onlooker.frame(atMost: Seconds(1))?.statistics?.maximum == 19)
  }
}
