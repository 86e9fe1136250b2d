import Glibc
import Linux
import NanobatteryTwin
import Potentiostat
import Quantities
import Testing
import TwinBench
import USB

/// A session without a cell: identity, preparation, the error queue, open.
private func session(on bus: any USBBus) throws -> (InstrumentIdentity, [String]) {
  let model = try #require(PotentiostatModels.named("keithley-2450"))
  let settings = PotentiostatSettings(model: "keithley-2450", usb: TwinBench.potentiostat)
  let driver = try model.open(bus, settings)
  defer { driver.close() }
  let limits = CellLimits(voltage: Volts(-0.5)...Volts(4.5), current: Amperes(-100e-12)...Amperes(100e-12))
  try driver.prepare(
    Acquisition(period: Seconds(0.01), currentRange: Amperes(10e-9), voltageRange: Volts(20), limits: limits))
  try driver.open()
  return (driver.identity, try driver.errors())
}

@Suite("A recorded session with a Keithley 2450")
struct TranscriptReplayTests {
  /// The directory is removed by `body`'s caller.
  private func recorded(_ body: (String, (InstrumentIdentity, [String])) throws -> Void) throws {
    var template = Array("/tmp/record-usb.XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer {
      for name in (try? FileSystem.list(directory)) ?? [] { FileSystem.remove(directory + "/" + name) }
      rmdir(directory)
    }
    let bench = try TwinBench()
    defer { bench.end() }
    try body(directory, try session(on: RecordingBus(wrapping: bench.bus, directory: directory)))
  }

  @Test("It is one file, named for the instrument, and the real driver goes through it again without the instrument")
  func roundTrip() throws {
    try recorded { directory, live in
      #expect(try FileSystem.list(directory) == ["keithley-2450-05E6-2450-04412345-1.usb"])
      let replayed = try session(on: try TranscriptBus(path: directory))
      #expect(replayed.0 == live.0)
      #expect(replayed.1 == live.1)
      let transcript = try Transcript.read(directory + "/keithley-2450-05E6-2450-04412345-1.usb")
      #expect(transcript.lines.count > 40)
      #expect(transcript.lines.last?.entry == .close)
      #expect(transcript.head.device.serial == live.0.serial)
    }
  }

  @Test("A driver that asks for something else is stopped at that line")
  func otherQuestion() throws {
    try recorded { directory, _ in
      let path = directory + "/keithley-2450-05E6-2450-04412345-1.usb"
      var lines = String(decoding: try FileSystem.read(path), as: UTF8.self).split(
        separator: "\n", omittingEmptySubsequences: false
      ).map(String.init)
      // ":OUTP" of a command that was recorded becomes ":OUTQ".
      let place = try #require(lines.firstIndex { $0.contains(" out ") && $0.contains("3A4F555450") })
      lines[place] = lines[place].replacing("3A4F555450", with: "3A4F555451")
      let transcript = try Transcript(lines.joined(separator: "\n"), path: "changed.usb")
      let error = #expect(throws: InstrumentError.self) { _ = try session(on: TranscriptBus([transcript])) }
      #expect("\(try #require(error))".contains("changed.usb, line \(place + 1): "))
    }
  }
}
