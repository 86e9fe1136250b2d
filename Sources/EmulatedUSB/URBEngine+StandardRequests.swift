/// The standard requests of endpoint 0 (USB 2.0 §9.4).
extension URBEngine {
  private enum Request {
    static let getStatus: UInt8 = 0
    static let clearFeature: UInt8 = 1
    static let setFeature: UInt8 = 3
    static let setAddress: UInt8 = 5
    static let getDescriptor: UInt8 = 6
    static let getConfiguration: UInt8 = 8
    static let setConfiguration: UInt8 = 9
    static let getInterface: UInt8 = 10
    static let setInterface: UInt8 = 11
  }
  private static let endpointHalt: UInt16 = 0

  func answerStandard(_ setup: USBSetupPacket) -> USBReply {
    let recipient = setup.requestType & 0x1F  // 0 device, 1 interface, 2 endpoint
    switch (setup.request, recipient) {
    case (Request.getDescriptor, 0): return descriptor(setup)
    case (Request.getStatus, 0): return .ack([descriptors.busPower == 0 ? 1 : 0, 0])
    case (Request.getStatus, 1): return hasInterface(setup.index) ? .ack([0, 0]) : .stall
    case (Request.getStatus, 2):
      guard let at = endpoint(setup.index) else { return .stall }
      return .ack([endpoints[at].isHalted ? 1 : 0, 0])
    case (Request.clearFeature, 2):
      guard setup.value == Self.endpointHalt, let at = endpoint(setup.index) else { return .stall }
      endpoints[at].isHalted = false
      // Some hosts send it right after configuration to an endpoint that is not halted; it must stay armed.
      function.haltCleared(endpoints[at].address)
      return .ack([])
    case (Request.setFeature, 2):
      guard setup.value == Self.endpointHalt, let at = endpoint(setup.index), at != 0 else { return .stall }
      endpoints[at].isHalted = true
      return .ack([])
    case (Request.setAddress, 0): return .ack([])
    case (Request.getConfiguration, 0): return .ack([configuration])
    case (Request.setConfiguration, 0): return configure(setup.value)
    case (Request.getInterface, 1): return hasInterface(setup.index) ? .ack([0]) : .stall
    case (Request.setInterface, 1):
      guard hasInterface(setup.index), setup.value == 0 else { return .stall }
      for at in endpoints.indices { endpoints[at].isHalted = false }
      return .ack([])
    default: return .stall
    }
  }

  private func descriptor(_ setup: USBSetupPacket) -> USBReply {
    let index = UInt8(truncatingIfNeeded: setup.value)
    let bytes: [UInt8]?
    switch setup.value >> 8 {
    case 1: bytes = descriptors.device
    case 2: bytes = index == 0 ? descriptors.configuration : nil
    case 3: bytes = descriptors.string(index)
    case 6: bytes = descriptors.speed == .high ? descriptors.qualifier : nil
    case 7: bytes = descriptors.speed == .high && index == 0 ? descriptors.otherSpeedConfiguration : nil
    default: bytes = nil
    }
    return bytes.map { .ack($0) } ?? .stall
  }

  private func configure(_ value: UInt16) -> USBReply {
    guard value == 0 || value == UInt16(descriptors.configurationValue) else { return .stall }
    configuration = UInt8(value)
    for at in endpoints.indices { endpoints[at].isHalted = false }
    function.reset(configured: value != 0)
    return .ack([])
  }

  private func hasInterface(_ index: UInt16) -> Bool { descriptors.interfaces.contains { UInt16($0.number) == index } }

  private func endpoint(_ index: UInt16) -> Int? {
    let address = UInt8(truncatingIfNeeded: index)
    if address & 0x7F == 0 { return 0 }
    return endpoints.firstIndex { $0.address == address }
  }
}
