package import EmulatedUSB
import Linux
package import Quantities

/// A message instrument that answers what tests of a wire need: short and long answers, late ones and none.
///
///     *IDN?       who it is
///     BLOCK? n    a definite-length block of n bytes: 0, 1 … 250, 0 …
///     LATE? ms    “late” after so long
///     NEVER?      no answer
package final class TestMeter: MessageInstrument {
  private var answer: [UInt8]?
  private var readyAt: MonotonicTime?
  package private(set) var isResponseDue = false

  package init() {}

  /// The device 1209:7A01, serial number SN0001.
  package static func device() -> EmulatedUSBDevice {
    let identity = USBTMCFunction.Identity(
      vendor: 0x1209, product: 0x7A01, manufacturerName: "Emulated", productName: "METER-1", serial: "SN0001")
    return EmulatedUSBDevice(
      USBTMCFunction(
        identity, USBTMCCapabilities(endsOnTermChar: true, remoteLocal: false), instrument: TestMeter(),
        clock: { .now }))
  }

  package func receive(_ message: [UInt8], at now: MonotonicTime) {
    let words = String(decoding: message.filter { $0 >= 32 }, as: UTF8.self).split(separator: " ")
    let count = words.count > 1 ? Int(words[1]) ?? 0 : 0
    answer = nil
    readyAt = now
    isResponseDue = true
    switch words.first {
    case "*IDN?": answer = Array("EMULATED,METER-1,SN0001,0.1\n".utf8)
    case "BLOCK?":
      let digits = "\(count)"
      answer = Array("#\(digits.count)\(digits)".utf8) + (0..<count).map { UInt8($0 % 251) } + [10]
    case "LATE?":
      answer = Array("late\n".utf8)
      readyAt = now + Seconds(Double(count) / 1000)
    case "NEVER?": break
    default: isResponseDue = false
    }
  }

  package func response(at now: MonotonicTime) -> [UInt8]? {
    guard let answer, let readyAt, now >= readyAt else { return nil }
    self.answer = nil
    isResponseDue = false
    return answer
  }

  package func dropResponse(_ reason: QueryError?, at now: MonotonicTime) { clear(at: now) }

  package func clear(at now: MonotonicTime) {
    answer = nil
    isResponseDue = false
  }

  package func trigger(at now: MonotonicTime) {}
  package func statusByte(at now: MonotonicTime) -> UInt8 {
    answer != nil && readyAt.map { now >= $0 } == true ? 16 : 0
  }
  package func tick(_ now: MonotonicTime) {}
}
