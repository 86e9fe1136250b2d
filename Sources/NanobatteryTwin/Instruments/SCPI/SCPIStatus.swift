/// The status registers of IEEE 488.2 and SCPI, and the error queue (scpi-smu.md §8).
package final class SCPIStatus {
  enum EventBit {
    static let operationComplete: UInt8 = 0x01
    static let queryError: UInt8 = 0x04
    static let deviceError: UInt8 = 0x08
    static let executionError: UInt8 = 0x10
    static let commandError: UInt8 = 0x20
    static let powerOn: UInt8 = 0x80
  }
  enum StatusBit {
    static let errorAvailable: UInt8 = 0x04
    static let questionable: UInt8 = 0x08
    static let messageAvailable: UInt8 = 0x10
    static let eventSummary: UInt8 = 0x20
    static let masterSummary: UInt8 = 0x40
    static let operation: UInt8 = 0x80
  }

  /// A SCPI register: what is, what has been since it was read, and what is told upwards. Bit 15 is always 0.
  package struct Register {
    package private(set) var condition: UInt16 = 0
    package var event: UInt16 = 0
    package var enable: UInt16 = 0

    /// Bits that rise are latched as events.
    mutating func set(_ bit: Int, _ isOn: Bool) {
      let mask = UInt16(1) << bit
      if isOn && condition & mask == 0 { event |= mask }
      condition = isOn ? condition | mask : condition & ~mask
    }

    mutating func happen(_ bit: Int) { event |= UInt16(1) << bit }

    mutating func takeEvent() -> UInt16 {
      defer { event = 0 }
      return event
    }

    var summary: Bool { event & enable != 0 }
  }

  /// Errors kept before the last one becomes −350.
  static let maximumErrors = 32

  package var event = EventBit.powerOn
  package var eventEnable: UInt8 = 0
  package var serviceEnable: UInt8 = 0
  package var operation = Register()
  package var questionable = Register()
  package private(set) var errors: [SCPIError] = []

  package init() {}

  package func report(_ error: SCPIError) {
    event |= error.eventBit
    if errors.count < Self.maximumErrors {
      errors.append(error)
    } else {
      errors[errors.count - 1] = .queueOverflow
      event |= EventBit.deviceError
    }
  }

  func nextError() -> SCPIError { errors.isEmpty ? .none : errors.removeFirst() }

  func takeEvent() -> UInt8 {
    defer { event = 0 }
    return event
  }

  /// `*CLS`: events and errors go, enables stay.
  func clear() {
    event = 0
    operation.event = 0
    questionable.event = 0
    errors = []
  }

  /// `:STATus:PRESet`.
  func preset() {
    operation.enable = 0
    questionable.enable = 0
  }

  func statusByte(messageAvailable: Bool) -> UInt8 {
    var byte: UInt8 = 0
    if !errors.isEmpty { byte |= StatusBit.errorAvailable }
    if questionable.summary { byte |= StatusBit.questionable }
    if messageAvailable { byte |= StatusBit.messageAvailable }
    if event & eventEnable != 0 { byte |= StatusBit.eventSummary }
    if operation.summary { byte |= StatusBit.operation }
    if byte & serviceEnable & ~StatusBit.masterSummary != 0 { byte |= StatusBit.masterSummary }
    return byte
  }
}
