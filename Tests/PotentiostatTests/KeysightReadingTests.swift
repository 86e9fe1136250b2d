import Linux
import Quantities
import Testing
import TwinBench
import USB

@testable import NanobatteryTwin
@testable import Potentiostat

@Suite("Keysight readings")
struct KeysightReadingTests {
  private func bytes(_ values: [Double]) -> [UInt8] {
    values.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt64(8 * $0)) } }
  }

  @Test("A binary row is four doubles, least byte first")
  func row() throws {
    let rows = try #require(KeysightReading.rows(bytes([3.2, -2e-12, 12.25, 3, .nan, .infinity, 12.26, 8192])))
    #expect(rows.count == 2)
    #expect(rows[0].voltage == .value(3.2) && rows[0].current == .value(-2e-12))
    #expect(rows[0].stamp == 12_250_000_000)
    #expect(rows[0].flags == .compliance)
    #expect(rows[1].voltage == .missing && rows[1].current == .overflow)
    #expect(rows[1].flags == .overflow)
  }

  @Test("Rows that are cut, or whose time is none, are refused")
  func broken() {
    #expect(KeysightReading.rows(bytes([3.2, -2e-12, 12.25])) == nil)
    #expect(KeysightReading.rows(Array(bytes([3.2, -2e-12, 12.25, 0]).dropLast())) == nil)
    for time in [Double.nan, -1, .infinity, 1e12] { #expect(KeysightReading.rows(bytes([1, 1, time, 0])) == nil) }
    #expect(KeysightReading.rows(bytes([1, 1, 1, 0.5])) == nil)
    #expect(KeysightReading.rows([])?.isEmpty == true)
  }

  @Test(
    "Not a number and infinity, as text has them and as binary",
    arguments: [
      (9.91e37, KeysightNumber.missing), (.nan, .missing), (9.9e37, .overflow), (-9.9e37, .overflow),
      (.infinity, .overflow), (-.infinity, .overflow), (-9.6420389e-12, .value(-9.6420389e-12)),
      (2.24e-14, .value(2.24e-14)),
    ])
  func numbers(number: Double, expected: KeysightNumber) { #expect(KeysightNumber(number) == expected) }

  @Test(
    "Bits of the status word",
    arguments: [
      (0, SampleFlags()), (1, SampleFlags()), (2, .compliance), (4, .compliance), (7, .compliance), (8, .outputOff),
      (16, .outputOff),
      (33, .outputOff), (8192, .overflow), (65536, SampleFlags()),
    ])
  func status(word: Int, expected: SampleFlags) throws {
    let row = try #require(KeysightReading([1, 1, 1, Double(word)]))
    #expect(row.flags == expected)
  }

  @Test("The error queue in one answer is cut into its entries")
  func errors() {
    #expect(SCPIConnection.entries(of: "+0,\"No error\"").isEmpty)
    #expect(
      SCPIConnection.entries(of: "-113,\"Undefined header\",-222,\"Data out of range; a, b\"")
        == ["-113,\"Undefined header\"", "-222,\"Data out of range; a, b\""])
    // The space is in a public test vector (scpi-smu.md §10).
    #expect(SCPIConnection.entries(of: "-113, \"Undefined header\"") == ["-113, \"Undefined header\""])
    #expect(SCPIConnection.entries(of: "garbage") == ["garbage"])
  }

  @Test("Below one power line cycle the error grows by the data sheet's share of the range")
  func derating() throws {
    let model = try #require(KeysightB2900Model.all.first { $0.name == "B2911A" })
    let lowest = model.ranges[0]
    for (cycles, offset) in [(1.0, 50e-12), (0.1, 60e-12), (0.01, 150e-12), (0.001, 550e-12)] {
      let facts = model.facts(of: lowest, atPowerLineCycles: cycles)
      #expect(abs(facts.measureOffset.value - offset) < 1e-15, "\(cycles) PLC")
    }
    #expect(model.ranges.count == 10)
    #expect(KeysightB2900Model.all[0].ranges[0].range == Amperes(100e-9))
  }

  @Test("A full buffer is begun anew, and the pause that this makes is told")
  func again() throws {
    let bench = try KeysightBench("keysight-b2911a")
    let connection = try SCPIConnection.open(USBMatch(serial: nil), on: bench.bus, name: "B2911A")
    var settings = PotentiostatSettings(model: "keysight-b2911a", usb: USBMatch(serial: nil))
    settings.fourWire = true
    let driver = try Potentiostat.KeysightB2900(connection, settings, model: "B2911A", countBeforeNew: 20)
    defer { driver.close() }
    try driver.prepare(keysightAcquisition(period: 0.005))
    _ = try driver.begin(.current(.zero), present: nil) { _ in true }
    var samples: [Sample] = []
    let end = MonotonicTime.now + Seconds(4)
    while samples.count < 70, MonotonicTime.now < end {
      samples += try driver.poll().samples
      sleepThread(for: Seconds(0.003))
    }
    #expect(samples.count >= 70)
    let steps = zip(samples, samples.dropFirst()).map { Double($1.deviceNanoseconds - $0.deviceNanoseconds) * 1e-9 }
    // The timer itself goes on; its intervals begin with the new acquisition, which the aperture of 4 ms keeps apart.
    #expect(steps.allSatisfy { $0 > 0.0039 })
    let uneven = steps.enumerated().filter { abs($0.element - 0.005) > 2e-6 }.map(\.offset)
    #expect(uneven.allSatisfy { ($0 + 1) % 20 == 0 }, "only where the buffer was full: \(uneven)")
    let notes = try driver.errors()
    #expect(notes.count == (samples.count - 1) / 20, "\(notes)")
    #expect(notes.allSatisfy { $0.contains("begun anew") })
    #expect(try driver.errors().isEmpty, "told once")
    try driver.open()
  }
}
