/// One packet of the DE-Server's protocol, either way: `DEMessaging.DEPacket` (camera-streams.md §4).
package struct DEPacket: Equatable, Sendable {
  package enum Kind: UInt64, Sendable {
    case null = 0
    case command = 1
    case acknowledge = 2
    case dataHeader = 3
  }

  package var kind: Kind
  package var commands: [DECommand] = []
  package var acknowledges: [DEAcknowledge] = []
  /// Bytes that follow the packet, when it is a data header.
  package var dataBytes: UInt64?
  package var cameraName = ""

  /// No packet is longer; the longest real ones are lists of a thousand property names.
  package static let mostBytes = 4 << 20
  /// No message has more parts.
  static let mostParts = 16384

  package init(_ kind: Kind) { self.kind = kind }

  /// Reads a packet without the length before it. Fields that are not known are passed over.
  package init(parsing bytes: [UInt8]) throws(DEPacketError) {
    kind = .null
    var reader = ProtobufReader(bytes[...])
    while let (field, wire) = try reader.nextField() {
      switch (field, wire) {
      case (1, .varint):
        let number = try reader.varint()
        guard let known = Kind(rawValue: number) else { throw DEPacketError("a packet of type \(number)") }
        kind = known
      case (2, .varint): _ = try reader.varint()
      case (3, .bytes): commands.append(try DECommand(parsing: try reader.lengthDelimited()))
      case (4, .bytes): acknowledges.append(try DEAcknowledge(parsing: try reader.lengthDelimited()))
      case (5, .bytes): dataBytes = try Self.dataBytes(try reader.lengthDelimited())
      case (6, .bytes): cameraName = try reader.text()
      case (1...6, _): throw DEPacketError("field \(field) of a packet has wire type \(wire.rawValue)")
      default: try reader.skip(wire)
      }
      guard commands.count + acknowledges.count <= Self.mostParts else { throw DEPacketError("too many parts") }
    }
  }

  private static func dataBytes(_ bytes: ArraySlice<UInt8>) throws(DEPacketError) -> UInt64 {
    var reader = ProtobufReader(bytes)
    var count: UInt64 = 0
    while let (field, wire) = try reader.nextField() {
      switch (field, wire) {
      case (1, .varint): count = try reader.varint()
      case (1, _): throw DEPacketError("a byte count of wire type \(wire.rawValue)")
      default: try reader.skip(wire)
      }
    }
    return count
  }

  /// The packet behind its length (u32, little-endian), as it goes over the wire.
  package var framed: [UInt8] {
    var writer = ProtobufWriter()
    if kind != .null { writer.varint(1, kind.rawValue) }
    for command in commands { writer.lengthDelimited(3, command.encoded) }
    for acknowledge in acknowledges { writer.lengthDelimited(4, acknowledge.encoded) }
    if let dataBytes {
      var header = ProtobufWriter()
      if dataBytes != 0 { header.varint(1, dataBytes) }
      writer.lengthDelimited(5, header.bytes)
    }
    if !cameraName.isEmpty { writer.lengthDelimited(6, cameraName.utf8) }
    let count = UInt32(writer.bytes.count)
    return (0..<4).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) } + writer.bytes
  }
}

/// `SingleCommand`.
package struct DECommand: Equatable, Sendable {
  /// 100 · command version + the command's number.
  package var id: UInt32
  package var values: [DEValue]
  /// The first value is sent as “label”, as clients do with the name of a property.
  package var isLabelled: Bool

  package init(id: UInt32, label: String? = nil, values: [DEValue] = []) {
    self.id = id
    self.values = (label.map { [.text($0)] } ?? []) + values
    isLabelled = label != nil
  }

  init(parsing bytes: ArraySlice<UInt8>) throws(DEPacketError) {
    self.init(id: 0)
    var reader = ProtobufReader(bytes)
    while let (field, wire) = try reader.nextField() {
      switch (field, wire) {
      case (1, .varint): id = try commandID(try reader.varint())
      case (2, .bytes): _ = try reader.text()
      case (3, .bytes):
        let parameter = try NamedValue(parsing: try reader.lengthDelimited())
        if values.isEmpty { isLabelled = parameter.name == "label" }
        values.append(parameter.value)
        guard values.count <= DEPacket.mostParts else { throw DEPacketError("too many parameters") }
      case (1...3, _): throw DEPacketError("field \(field) of a command has wire type \(wire.rawValue)")
      default: try reader.skip(wire)
      }
    }
  }

  var encoded: [UInt8] {
    var writer = ProtobufWriter()
    if id != 0 { writer.varint(1, UInt64(id)) }
    for (index, value) in values.enumerated() {
      let name = index == 0 && isLabelled ? "label" : "val"
      writer.lengthDelimited(3, NamedValue(name: name, value: value).encoded)
    }
    return writer.bytes
  }
}

/// `SingleAcknowledge`: the answer to a command.
package struct DEAcknowledge: Equatable, Sendable {
  package var isError = false
  package var id: UInt32
  package var errorMessage = ""
  package var values: [DEValue] = []

  package init(id: UInt32, values: [DEValue] = []) {
    self.id = id
    self.values = values
  }

  package init(id: UInt32, error: String) {
    self.id = id
    isError = true
    errorMessage = error
  }

  init(parsing bytes: ArraySlice<UInt8>) throws(DEPacketError) {
    self.init(id: 0)
    var reader = ProtobufReader(bytes)
    while let (field, wire) = try reader.nextField() {
      switch (field, wire) {
      case (1, .varint): isError = try reader.varint() != 0
      case (2, .varint): id = try commandID(try reader.varint())
      case (3, .bytes): _ = try reader.text()
      case (4, .bytes): errorMessage = try reader.text()
      case (5, .bytes):
        values.append(try NamedValue(parsing: try reader.lengthDelimited()).value)
        guard values.count <= DEPacket.mostParts else { throw DEPacketError("too many parameters") }
      case (1...5, _): throw DEPacketError("field \(field) of an answer has wire type \(wire.rawValue)")
      default: try reader.skip(wire)
      }
    }
  }

  var encoded: [UInt8] {
    var writer = ProtobufWriter()
    if isError { writer.varint(1, 1) }
    if id != 0 { writer.varint(2, UInt64(id)) }
    if !errorMessage.isEmpty { writer.lengthDelimited(4, errorMessage.utf8) }
    for value in values { writer.lengthDelimited(5, NamedValue(name: "", value: value).encoded) }
    return writer.bytes
  }
}

private func commandID(_ number: UInt64) throws(DEPacketError) -> UInt32 {
  guard let id = UInt32(exactly: number) else { throw DEPacketError("a command number of more than 32 bits") }
  return id
}
