import HolderDriver
import Quantities
import Testing

@Suite("Values of the holder")
struct HolderValueTests {
  @Test("The recorded vector of the fact sheet decodes to its stated values")
  func record() throws {
    let text = "40420f0000000000 2a000000 ffebaf2b 000000c0 0080ed42 1002 03 02 11000000".filter { $0 != " " }
    let digits = Array(text)
    let bytes = stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...$0 + 1]), radix: 16)! }
    let record = try #require(MeterRecord(bytes[...]))
    #expect(record.time_us == 1_000_000)
    #expect(record.sequence == 42)
    #expect(abs(record.current.value - 1.25e-12) < 1e-18)
    #expect(record.voltage.value == -2)
    #expect(record.heaterResistance.value == 118.75)
    #expect(record.status == [.contact, .outputOn])
    #expect(record.status.rawValue == 0x0210)
    #expect(record.rangeIndex == 3)
    #expect(record.routeProfile == 2)
    #expect(record.edgeCount == 17)
    #expect(MeterRecord(bytes.dropLast()) == nil)
    #expect(MeterRecord((bytes + [0])[...]) == nil)
  }

  @Test("An edge is 16 bytes")
  func edge() throws {
    let edge = try #require(HolderEdge([0x40, 0x42, 0x0F, 0, 0, 0, 0, 0, 2, 1, 0, 0, 7, 0, 0, 0]))
    #expect(edge.time_us == 1_000_000 && edge.input == 2 && edge.isRising && edge.count == 7)
    #expect(HolderEdge([1, 2, 3]) == nil)
  }

  @Test(
    "Channel lists read and print",
    arguments: [
      ("(@1!1,2!2)", ["1!1", "2!2"]), ("1!1, 2!2", ["1!1", "2!2"]),
      ("(@1!0:3!0,4!5)", ["1!0", "2!0", "3!0", "4!5"]), ("(@)", []),
    ])
  func channels(text: String, expected: [String]) {
    #expect(HolderChannel.list(text)?.map(\.description) == expected)
  }

  @Test(
    "What is no channel list is refused",
    arguments: ["(@0!1)", "(@9!1)", "(@1!10)", "(@1)", "1!1,", "(@2!0:1!0)", "(@1!0:2!1)", "x"])
  func noChannels(text: String) {
    #expect(HolderChannel.list(text) == nil)
  }

  @Test("A chip's resistance and temperature are each other's inverse", arguments: [0.0, 1.5e-7, -1.5e-7])
  func chip(beta: Double) throws {
    let chip = HeaterChip(
      resistance: Ohms(120), temperature: Kelvins(293.15), alpha: 0.0012, beta: beta, maximumCurrent: Amperes(0.02),
      maximumTemperature: Kelvins(1273.15), serial: "C")
    for kelvin in stride(from: 280.0, through: 1273, by: 33) {
      let back = try #require(chip.temperature(of: chip.resistance(at: Kelvins(kelvin))))
      #expect(abs(back.value - kelvin) < 1e-6, "\(kelvin)")
    }
  }

  @Test("A coarse step longer than 70 % of the fine range is too long")
  func coarseStep() {
    var approach = ApproachSettings()
    #expect(approach.isStepShortEnough)
    #expect(abs(approach.fineRange.value - 1.5e-6) < 1e-12)
    // 1 nm in each reading of 1 ms at 5 nm/V.
    #expect(abs(approach.extendSlew - 200) < 1e-9)
    approach.stepLength = Metres(1.06e-6)
    #expect(!approach.isStepShortEnough)
  }

  @Test(
    "Temperatures are read in kelvin and degrees Celsius",
    arguments: [("623.15 K", 623.15), ("350 C", 623.15), ("350 °C", 623.15), ("350°C", 623.15), ("-20 degC", 253.15)])
  func temperatures(text: String, kelvin: Double) throws {
    #expect(abs(try Kelvins(parsing: text).value - kelvin) < 1e-9)
  }

  @Test(
    "What is no temperature is refused with what to write",
    arguments: ["350", "350 F", "350 mK", "-1 K", "-300 C", "hot"])
  func noTemperature(text: String) {
    #expect(throws: QuantityError.self) { try Kelvins(parsing: text) }
  }
}
