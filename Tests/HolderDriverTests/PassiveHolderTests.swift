import HolderDriver
import Linux
import Quantities
import Testing
import USB

/// A bus with nothing on it: whoever opens something there is refused.
private struct EmptyBus: USBBus {
  func open(_ wanted: USBMatch, _ kind: USBInterfaceKind, name: String) throws(USBError) -> any USBTransport {
    throw .notFound(device: name, reason: "nothing is plugged in")
  }
}

@Suite("A holder without electronics")
struct PassiveHolderTests {
  private func station() -> HolderStation {
    HolderStation(
      HolderSettings(
        model: "passive", usb: nil, contacts: HolderContacts(working: 1, counter: 2), heartbeatTimeout: Seconds(5)),
      bus: EmptyBus(), report: { _ in })
  }

  @Test("It connects at once, is always connected with the cell, and says what it cannot do")
  func connects() throws {
    let station = station()
    let found = try station.connect()
    #expect(found.state.contactsClosed)
    #expect(found.identity.model == "passive")
    #expect(station.abilities == [])
    #expect(station.limitations.count == 4)
    #expect(station.limitations.contains { $0.contains("cannot be opened") })
    #expect(station.limitations.contains { $0.contains("nothing opens the cell when this computer fails") })
    #expect(!station.settings.opensContacts && !station.settings.measuresLeakage)
    try station.arm()
    try station.closeContacts()
    station.tick()
    station.tick()
    try station.makeSafe()
    #expect(station.state?.contactsClosed == true)
  }

  @Test("Everything else is refused with what to do instead")
  func refuses() throws {
    let station = station()
    _ = try station.connect()
    let attempts: [(String, () throws -> Void)] = [
      ("no relays", { _ = try station.route([HolderChannel(1, 1)]) }), ("estop", { try station.openAll() }),
      ("ground its contacts by hand", { try station.insert(true) }),
      ("no piezo", { try station.beginApproach(axis: nil, mostSteps: nil) }),
      ("own controller", { try station.heat(to: Kelvins(400)) }), ("write a note", { try station.blank(true) }),
      ("leakage", { _ = try station.leakage(at: Volts(1)) }),
    ]
    for (words, attempt) in attempts {
      let error = #expect(throws: InstrumentError.self) { try attempt() }
      #expect("\(try #require(error))".contains(words), "\(words)")
    }
  }
}
