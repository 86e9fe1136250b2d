import BiasProtocol
import ControlProtocol
import JSON
import Linux
import NanobatteryTwin
import Potentiostat
import Quantities
import Testing
import TwinBench
import USB

@testable import RunControl

@Suite("The safety latch and the commands of the holder")
struct HolderLatchTests {
  @Test("What switches nothing on leaves the latch as it is; what does releases it")
  func latch() throws {
    let bench = try ControllerBench()
    defer { bench.end() }
    let latch = bench.controller.instruments.latch
    _ = try bench.holder("status")
    #expect(bench.controller.emergencyStop()["safe"]?.bool == true)
    for (action, value) in [
      ("open", nil), ("insert", "on"), ("insert", "off"), ("leakage", nil), ("heat", "off"), ("blank", "on"),
      ("waveform", "saw"), ("status", nil),
    ] {
      _ = try bench.holder(action, value.map { ["value": .string($0)] } ?? [:])
      #expect(latch.isSet, "\(action)")
    }
    // Given after the stop, it was meant.
    _ = try bench.holder("route", ["channels": "(@1!1,2!2)"])
    #expect(!latch.isSet)
    #expect(bench.world.connection.contactsClosed)
    #expect(bench.controller.emergencyStop()["safe"]?.bool == true)
    #expect(!bench.world.connection.contactsClosed)
  }

  @Test(
    "A command that was given before the cell was made safe is void, whoever made it safe",
    arguments: [
      ("route", ["channels": "(@1!1,2!2)"]), ("approach", [:]), ("retract", [:]), ("heat", ["value": "350 C"]),
    ]
      as [(String, [String: JSONValue])])
  func older(action: String, parameters: [String: JSONValue]) throws {
    let bench = try ControllerBench()
    defer { bench.end() }
    // The desk is busy while the command is given, and while the cell is made safe.
    let mayGoOn = Monitor(false)
    bench.controller.desk.post { _ in _ = mayGoOn.wait(atMost: Seconds(10)) { $0 ? true : nil } }
    let reply = bench.give(action, parameters)
    _ = bench.controller.instruments.makeSafe()
    mayGoOn.update { $0 = true }
    let error = #expect(throws: ControlError.self) { try ControllerBench.wait(reply) }
    #expect(error?.message.contains("made safe after this command") == true, "\(String(describing: error))")
    #expect(bench.controller.instruments.latch.isSet)
    #expect(!bench.world.connection.contactsClosed)
    #expect(bench.controller.status["state"]?.string == "idle")
  }
}

@Suite("The potentiostat as a plan sees it")
struct PlannedInstrumentTests {
  @Test(
    "The lowest range that holds a current is told, which is not always the lowest",
    arguments: [("keithley-2636b", 1e-9), ("keithley-2450", 1e-8), ("nexus", 1e-9)])
  func lowestHolding(model: String, lowest: Double) throws {
    let bench = try ControllerBench(model)
    defer { bench.end() }
    #expect(bench.controller.plannedInstrument == nil, "it has never been reached")
    _ = try bench.controller.instruments.onPotentiostat("connecting") { station throws(InstrumentError) in
      try station.connect()
    }
    let planned = try #require(bench.controller.plannedInstrument)
    #expect(abs(try #require(planned.lowestHolding).value / lowest - 1) < 1e-9)
  }
}
