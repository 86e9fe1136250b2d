import Testing
import TwinBench

@testable import DEMessaging

@Suite("Packets of the DE-Server")
struct DEPacketTests {
  /// camera-streams.md §4, encoded there with Google's protobuf 4.25.3.
  private static func vectors() -> [(DEPacket, String)] {
    var cameras = DEPacket(.command)
    cameras.commands = [DECommand(id: DECommandNumber.listCameras.id(version: 12))]
    var property = DEPacket(.command)
    property.commands = [
      DECommand(id: DECommandNumber.getProperty.id(version: 12), label: "Frames Per Second")
    ]
    property.cameraName = "DE16"
    var answer = DEPacket(.acknowledge)
    answer.acknowledges = [DEAcknowledge(id: 1203, values: [.float(40)])]
    var data = DEPacket(.dataHeader)
    data.dataBytes = 2 << 20
    return [
      (cameras, "07000000 0801 1a03 08b009"),
      (
        property,
        "2b000000 0801 1a21 08b309 1a1c 0803 1205 6c6162656c 2a11 4672616d657320506572205365636f6e64 3204 44453136"
      ),
      (answer, "10000000 0802 220c 10b309 2a07 0804 35 00002042"),
      (data, "09000000 0803 2a05 08 80808001"),
    ]
  }

  @Test("The sheet's vectors are written byte by byte, and read as what they say")
  func vectors() throws {
    for (packet, hex) in Self.vectors() {
      #expect(packet.framed == bytes(hex: hex))
      #expect(try DEPacket(parsing: Array(bytes(hex: hex).dropFirst(4))) == packet)
    }
    #expect(NamedValue(name: "", value: .integer(-3)).encoded == bytes(hex: "0801 1805"))
  }

  @Test(
    "Every kind of value comes back as it went, at the ends of its range too",
    arguments: [
      DEValue.null, .integer(0), .integer(-1), .integer(.min), .integer(.max), .boolean(true), .boolean(false),
      .text(""), .text("e⁻/Å²"), .float(0), .float(-0.0), .float(1.5e-30), .bytes([]), .bytes([0, 255]),
    ])
  func values(_ value: DEValue) throws {
    var packet = DEPacket(.acknowledge)
    packet.acknowledges = [DEAcknowledge(id: 1214, values: [value, .integer(7)])]
    let parsed = try DEPacket(parsing: Array(packet.framed.dropFirst(4)))
    #expect(parsed.acknowledges.first?.values == [value, .integer(7)])
  }

  @Test("Fields that are not known are passed over; a zero that was left out is a zero")
  func tolerance() throws {
    let parsed = try DEPacket(
      parsing: bytes(hex: "0802 a00105 a1010102030405060708 a20102ffff a50101020304 2203 10b309"))
    #expect(parsed.kind == .acknowledge)
    #expect(try DEPacket(parsing: bytes(hex: "0802 2207 10b309 2a02 0801")).acknowledges[0].values == [.integer(0)])
  }

  @Test(
    "What is no packet is refused with its cause",
    arguments: [
      ("08", "it ends inside a number"), ("0809", "a packet of type 9"), ("1a05 08", "a field longer than the packet"),
      ("08ffffffffffffffffff02", "a number of more than 64 bits"),
      ("0d01020304", "field 1 of a packet has wire type 5"),
      ("0b", "a field of wire type 3"), ("00", "a field with the number 0"), ("3201ff", "text that is not UTF-8"),
      ("1a0608ffffffff1f", "a command number of more than 32 bits"),
      ("22062a04 0801 1880", "it ends inside a number"), ("22042a02 0809", "a parameter of type 9"),
      ("220a2a08 080118ffffffff1f", "an integer of more than 32 bits"),
    ])
  func refusals(_ hex: String, _ cause: String) {
    let error = #expect(throws: DEPacketError.self) { try DEPacket(parsing: bytes(hex: hex)) }
    #expect(error?.description == cause)
  }

  @Test("No mutation of a packet does harm, and what is understood is understood the same again")
  func mutations() throws {
    var corpus = Self.vectors().map { Array($0.0.framed.dropFirst(4)) }
    var many = DEPacket(.acknowledge)
    many.acknowledges = [
      DEAcknowledge(
        id: 1214, values: [.integer(5), .text("set"), .boolean(true), .float(0.25), .bytes([1, 2, 3]), .null]),
      DEAcknowledge(id: 1204, error: "Unknown property"),
    ]
    corpus.append(Array(many.framed.dropFirst(4)))
    var understood = 0
    Mutations("DE packets", 30_000, of: corpus).forEach { bytes, _ in
      guard let packet = try? DEPacket(parsing: bytes) else { return }
      understood += 1
      let again = try? DEPacket(parsing: Array(packet.framed.dropFirst(4)))
      if again?.framed != packet.framed { Issue.record("\(bytes) is not understood the same twice") }
    }
    #expect(understood > 1000)
  }

  @Test(
    "The command version follows from the server's software",
    arguments: [
      ("2.1.17.4", 3), ("2.5.24.9999", 3), ("2.5.25.1", 4), ("2.7.1.9999", 4), ("2.7.2.1", 10), ("2.7.3.1", 11),
      ("2.7.4.10589", 12), ("2.7.4.10590", 13), ("2.7.5.11273", 15), ("2.7.5.11274", 13), ("2.8.0.1", 15),
      ("2.8.0.12073", 16), ("2.8.3.12435", 16), ("2.8.3.12436", 17), ("3.0.0", 15), ("v2.7.4 (build 10590)", 13),
    ])
  func commandVersions(_ software: String, _ version: UInt32) {
    #expect(DEServerVersion(software)?.commandVersion == version)
  }

  @Test("A server that is older than any known, or says nothing of itself, has no command version")
  func unknownVersions() {
    #expect(DEServerVersion("2.1.16.1")?.commandVersion == nil)
    for text in ["", "unknown", "2.7", "99999999999999999999.1.1.1"] { #expect(DEServerVersion(text) == nil) }
  }
}
