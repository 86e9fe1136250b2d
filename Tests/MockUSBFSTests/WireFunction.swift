import EmulatedUSB
import Quantities

/// A device that sends what the test puts in, packet by packet, and keeps what it gets.
final class WireFunction: USBFunction {
  var descriptors: USBDescriptors
  /// Packets to send, by endpoint; with none the device answers NAK.
  var outbox: [UInt8: [[UInt8]]] = [:]
  var inbox: [[UInt8]] = []
  var controls: [USBSetupPacket] = []
  /// False: the OUT endpoint answers NAK.
  var takes = true
  var cleared: [UInt8] = []

  enum Kind { case usbtmc, cdcACM }

  init(_ kind: Kind = .usbtmc, serial: String = "SN0001", packetSize: Int = 512) {
    let bulk: [USBEndpointDescriptor] = [
      .init(address: 0x82, kind: .bulk, maximumPacket: packetSize),
      .init(address: 0x01, kind: .bulk, maximumPacket: packetSize),
    ]
    let interrupt = USBEndpointDescriptor(address: 0x83, kind: .interrupt, maximumPacket: 8, interval: 4)
    let interfaces: [USBInterfaceDescriptor] =
      switch kind {
      case .usbtmc:
        [.init(number: 0, classCode: 0xFE, subclassCode: 3, protocolCode: 1, endpoints: bulk + [interrupt])]
      case .cdcACM:
        [
          .init(number: 0, classCode: 0x02, subclassCode: 2, protocolCode: 0, endpoints: [interrupt]),
          .init(number: 1, classCode: 0x0A, subclassCode: 0, protocolCode: 0, endpoints: bulk),
        ]
      }
    descriptors = USBDescriptors(
      USBIdentity(
        vendor: 0x1209, product: kind == .usbtmc ? 0x7A01 : 0x7A02, manufacturerName: "Maker", productName: "Wire",
        serial: serial), interfaces: interfaces)
  }

  func control(_ setup: USBSetupPacket, _ data: [UInt8]) -> USBReply {
    controls.append(setup)
    switch setup.request {
    case 0x10: return .ack(setup.isIn ? [1, 2, 3] : [])
    case 0x11: return .nak
    default: return .stall
    }
  }

  func out(_ endpoint: UInt8, _ packet: [UInt8]) -> USBReply {
    guard takes else { return .nak }
    inbox.append(packet)
    return .ack([])
  }

  func `in`(_ endpoint: UInt8, _ most: Int) -> USBReply {
    guard outbox[endpoint]?.isEmpty == false else { return .nak }
    return .ack(outbox[endpoint]?.removeFirst() ?? [])
  }

  func haltCleared(_ endpoint: UInt8) { cleared.append(endpoint) }
}

/// A message as packets; a short or empty one at the end.
func packets(_ message: [UInt8], of size: Int = 512) -> [[UInt8]] {
  var all = stride(from: 0, to: message.count, by: size).map { Array(message[$0..<min($0 + size, message.count)]) }
  if message.count % size == 0 { all.append([]) }
  return all
}
