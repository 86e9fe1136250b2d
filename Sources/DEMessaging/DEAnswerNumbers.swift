/// The first whole numbers of an answer, read where it lies: what comes with every movie buffer. Nothing is allocated.
package struct DEAnswerNumbers: Equatable, Sendable {
  /// How many the answer has.
  package private(set) var count = 0
  private var first = 0
  private var second = 0
  private var third = 0

  package subscript(_ index: Int) -> Int { index == 0 ? first : index == 1 ? second : third }

  package init() {}

  package init(_ values: [DEValue]) {
    for value in values {
      guard let number = value.integer else {
        self = DEAnswerNumbers()
        return
      }
      append(number)
    }
  }

  /// Reads a packet without the length before it; nil when it is anything but one good answer of whole numbers, of which
  /// `DEPacket` knows the rest.
  /// - Parameter command: its number without the version.
  package init?(parsing packet: ArraySlice<UInt8>, to command: DECommandNumber) {
    do throws(DEPacketError) {
      var reader = ProtobufReader(packet)
      var isAnswer = false
      while let (field, wire) = try reader.nextField() {
        switch (field, wire) {
        case (1, .varint): isAnswer = try reader.varint() == DEPacket.Kind.acknowledge.rawValue
        case (4, .bytes):
          guard count == 0, try readAnswer(try reader.lengthDelimited(), command) else { return nil }
        case (2, .varint), (6, .bytes): try reader.skip(wire)
        default: return nil
        }
      }
      guard isAnswer, count > 0 else { return nil }
    } catch { return nil }
  }

  private mutating func append(_ number: Int) {
    if count == 0 { first = number }
    if count == 1 { second = number }
    if count == 2 { third = number }
    count += 1
  }

  /// False for an error, and for what is no whole number.
  private mutating func readAnswer(_ bytes: ArraySlice<UInt8>, _ command: DECommandNumber) throws(DEPacketError) -> Bool
  {
    var reader = ProtobufReader(bytes)
    while let (field, wire) = try reader.nextField() {
      switch (field, wire) {
      case (1, .varint): guard try reader.varint() == 0 else { return false }
      case (2, .varint):
        let id = try reader.varint()
        guard id == 0 || id % 100 == UInt64(command.rawValue) else { return false }
      case (3, .bytes): try reader.skip(wire)
      case (5, .bytes):
        guard let number = try Self.integer(try reader.lengthDelimited()) else { return false }
        append(number)
      default: return false
      }
    }
    return true
  }

  private static func integer(_ bytes: ArraySlice<UInt8>) throws(DEPacketError) -> Int? {
    var reader = ProtobufReader(bytes)
    var isInteger = false
    var value = 0
    while let (field, wire) = try reader.nextField() {
      switch (field, wire) {
      case (1, .varint): isInteger = try reader.varint() == 1
      case (2, .bytes): try reader.skip(wire)
      case (3, .varint): value = Int(try NamedValue.zigZag(try reader.varint()))
      default: return nil
      }
    }
    return isInteger ? value : nil
  }
}
