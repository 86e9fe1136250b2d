/// What a USBTMC device says it can do: the answer to GET_CAPABILITIES (usbtmc.md §3).
package struct USBTMCAbilities: Hashable, Sendable {
  package var endsOnTermChar = false
  package var trigger = false
  /// REN_CONTROL, GO_TO_LOCAL and LOCAL_LOCKOUT.
  package var remoteLocal = false
  package var serviceRequests = false
  package var indicatorPulse = false

  /// No optional features.
  package static let none = USBTMCAbilities()

  private init() {}

  /// Reads the 24 bytes. A short answer, or one that does not begin with SUCCESS, means no optional features.
  package init(_ answer: [UInt8]) {
    guard answer.count >= 24, answer[0] == 0x01 else { return }
    indicatorPulse = answer[4] & 0x04 != 0
    endsOnTermChar = answer[5] & 0x01 != 0
    trigger = answer[14] & 0x01 != 0
    remoteLocal = answer[14] & 0x02 != 0 && answer[15] & 0x02 != 0
    serviceRequests = answer[15] & 0x04 != 0
  }
}
