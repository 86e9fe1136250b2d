import EmulatedUSB
import Linux
import NanobatteryTwin
import Quantities
import Testing
import TwinBench
import USB

@Suite("Devices over USB/IP")
struct USBIPTests {
  @Test("Two instruments answer, each on its own connection")
  func identity() throws {
    let bench = try TwinBench()
    defer { bench.end() }
    let potentiostat = try bench.connection(TwinBench.potentiostat)
    let holder = try bench.connection(TwinBench.holder)
    #expect(try potentiostat.query("*IDN?") == "KEITHLEY INSTRUMENTS,MODEL 2450,04412345,1.7.12b")
    #expect(try holder.query("*IDN?") == "OPENHOLDER,OBH-1,000001,1.0.0")
    potentiostat.close()
    holder.close()
  }

  @Test("A question that gets no answer does not poison the next one")
  func timeout() throws {
    let bench = try TwinBench()
    defer { bench.end() }
    let connection = try bench.connection(TwinBench.potentiostat)
    for _ in 0..<5 {
      #expect(throws: USB.InstrumentError.self) { try connection.query("*CLS", within: Seconds(0.05)) }
      #expect(try connection.query("*IDN?").hasPrefix("KEITHLEY"))
    }
  }

  @Test(
    "Whatever happens to the N-th transfer, the one after the recovery is right",
    arguments: 1...6,
    [USBFault.Kind.stall, .short(5), .garbage(seed: 7), .delay(Seconds(0.4))])
  func anomaly(transfer: Int, kind: USBFault.Kind) throws {
    let bench = try TwinBench()
    defer { bench.end() }
    let connection = try bench.connection(TwinBench.potentiostat)
    for endpoint: UInt8 in [0x01, 0x82] {
      bench.instruments.potentiostat.inject(USBFault(endpoint: endpoint, transfer: transfer, kind: kind))
      for _ in 0..<6 { _ = try? connection.query("*IDN?", within: Seconds(0.2)) }
      #expect(try connection.query("*IDN?").hasPrefix("KEITHLEY"), "endpoint \(endpoint)")
    }
  }

  @Test("Pulling the cable ends what is under way; the device can be opened again when it is back")
  func unplug() throws {
    let bench = try TwinBench()
    defer { bench.end() }
    let connection = try bench.connection(TwinBench.potentiostat)
    bench.instruments.potentiostat.unplug()
    #expect {
      try connection.query("*IDN?")
    } throws: { ($0 as? USB.InstrumentError)?.isGone ?? false }
    bench.instruments.potentiostat.plug()
    let again = try bench.connection(TwinBench.potentiostat)
    #expect(try again.query("*IDN?").hasPrefix("KEITHLEY"))
  }

  @Test("A device that is not there is told of with its address and the server")
  func missing() throws {
    let bench = try TwinBench()
    defer { bench.end() }
    #expect {
      try bench.connection(USBMatch(vendor: 0x05E6, product: 0x2450, serial: "other"))
    } throws: { "\($0)".contains("05E6:2450 with serial number other") }
  }
}
