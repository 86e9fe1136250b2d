/// What a USB488 device tells on Interrupt-IN, in packets of two bytes (usbtmc.md §4).
package struct USBTMCNotifications: Sendable {
  /// Status bytes by the tag of the READ_STATUS_BYTE that asked for them; at most one for each of the 126 tags.
  private var answers: [UInt8: UInt8] = [:]
  /// How often service was requested.
  package private(set) var serviceRequests = 0
  /// The status byte of the last request for service.
  package private(set) var lastServiceRequest: UInt8?
  package private(set) var end: USBError?

  package init() {}

  package mutating func take(_ result: Result<[UInt8], USBError>) {
    switch result {
    case .success(let bytes):
      for at in stride(from: 0, to: bytes.count - 1, by: 2) {
        // 0x81 is a request for service, 0x82…0xFF an answer; what is below belongs to others.
        switch bytes[at] {
        case 0x81:
          serviceRequests += 1
          lastServiceRequest = bytes[at + 1]
        case 0x82...: answers[bytes[at] & 0x7F] = bytes[at + 1]
        default: break
        }
      }
    case .failure(.timedOut): break
    case .failure(let error): end = end ?? error
    }
  }

  /// The status byte that was asked for with that tag, once.
  package mutating func answer(to tag: UInt8) -> UInt8? { answers.removeValue(forKey: tag) }

  /// Forgets an answer that came after nobody waited for it any more.
  package mutating func forget(_ tag: UInt8) { answers[tag] = nil }

  package mutating func resume() { end = nil }
}
