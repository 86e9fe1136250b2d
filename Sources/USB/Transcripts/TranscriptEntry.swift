/// A line of a transcript after its time: what was asked of the transport, what came of it, or what was heard.
package enum TranscriptEntry: Equatable, Sendable {
  case control(USBSetup, sending: [UInt8])
  case send(endpoint: UInt8, [UInt8], endingWithZeroPacket: Bool)
  case receive(endpoint: UInt8, most: Int)
  case exchange(out: UInt8, in: UInt8, most: Int, [[UInt8]])
  case listen(endpoint: UInt8, transfers: Int, most: Int)
  case clearHalt(endpoint: UInt8)
  case reset
  case close
  /// What the call before it returned; empty for one that returns nothing.
  case result(Result<[UInt8], USBError>)
  /// What a transfer brought that `listen` keeps posted.
  case heard(endpoint: UInt8, Result<[UInt8], USBError>)
}

extension TranscriptEntry {
  /// The line: words and hexadecimal numbers, "-" for no bytes (docs/usb.md).
  package var text: String {
    switch self {
    case .control(let setup, let sending):
      return "control \(hexText(setup.requestType)) \(hexText(setup.request)) \(hexText(setup.value)) "
        + "\(hexText(setup.index)) \(hexText(setup.length)) \(hexText(sending))"
    case .send(let endpoint, let bytes, let zero):
      return "out \(hexText(endpoint)) \(hexText(bytes))" + (zero ? " zero" : "")
    case .receive(let endpoint, let most): return "in \(hexText(endpoint)) \(most)"
    case .exchange(let out, let `in`, let most, let messages):
      return (["exchange", hexText(out), hexText(`in`), "\(most)"] + messages.map { hexText($0) })
        .joined(separator: " ")
    case .listen(let endpoint, let transfers, let most): return "listen \(hexText(endpoint)) \(transfers) \(most)"
    case .clearHalt(let endpoint): return "clear-halt \(hexText(endpoint))"
    case .reset: return "reset"
    case .close: return "close"
    case .result(let result): return Self.text(of: result)
    case .heard(let endpoint, let result): return "heard \(hexText(endpoint)) \(Self.text(of: result))"
    }
  }

  /// Reads what `text` writes.
  /// - Parameter device: what errors call the device.
  package init?(_ text: String, device: String) {
    let words = text.split(separator: " ").map(String.init)
    guard let first = words.first else { return nil }
    func byte(_ place: Int) -> UInt8? { words.count > place ? UInt8(words[place], radix: 16) : nil }
    func word(_ place: Int) -> UInt16? { words.count > place ? UInt16(words[place], radix: 16) : nil }
    func number(_ place: Int) -> Int? { words.count > place ? Int(words[place]) : nil }
    func bytes(_ place: Int) -> [UInt8]? { words.count > place ? bytesOfHex(words[place]) : nil }
    switch first {
    case "control":
      guard let type = byte(1), let request = byte(2), let value = word(3), let index = word(4), let length = word(5),
        let sending = bytes(6)
      else { return nil }
      self = .control(USBSetup(type, request, value: value, index: index, length: length), sending: sending)
    case "out":
      guard let endpoint = byte(1), let sent = bytes(2) else { return nil }
      self = .send(endpoint: endpoint, sent, endingWithZeroPacket: words.count > 3 && words[3] == "zero")
    case "in":
      guard let endpoint = byte(1), let most = number(2) else { return nil }
      self = .receive(endpoint: endpoint, most: most)
    case "exchange":
      guard let out = byte(1), let `in` = byte(2), let most = number(3) else { return nil }
      let messages = words.dropFirst(4).map { bytesOfHex($0) }
      guard !messages.contains(nil) else { return nil }
      self = .exchange(out: out, in: `in`, most: most, messages.compactMap(\.self))
    case "listen":
      guard let endpoint = byte(1), let transfers = number(2), let most = number(3) else { return nil }
      self = .listen(endpoint: endpoint, transfers: transfers, most: most)
    case "clear-halt":
      guard let endpoint = byte(1) else { return nil }
      self = .clearHalt(endpoint: endpoint)
    case "reset": self = .reset
    case "close": self = .close
    case "heard":
      guard let endpoint = byte(1), let result = Self.result(Array(words.dropFirst(2)), device) else { return nil }
      self = .heard(endpoint: endpoint, result)
    default:
      guard let result = Self.result(words, device) else { return nil }
      self = .result(result)
    }
  }

  /// "= 0100", or "! stalled 81".
  private static func text(of result: Result<[UInt8], USBError>) -> String {
    switch result {
    case .success(let bytes): "= \(hexText(bytes))"
    case .failure(.notFound(_, let reason)): "! notFound \(oneLine(reason))"
    case .failure(.disconnected): "! disconnected"
    case .failure(.timedOut(_, let operation)): "! timedOut \(oneLine(operation))"
    case .failure(.stalled(_, let endpoint)): "! stalled \(hexText(endpoint))"
    case .failure(.malformed(_, let reason)): "! malformed \(oneLine(reason))"
    }
  }

  private static func result(_ words: [String], _ device: String) -> Result<[UInt8], USBError>? {
    guard words.count >= 2 else { return nil }
    if words[0] == "=" { return words.count == 2 ? bytesOfHex(words[1]).map { .success($0) } : nil }
    guard words[0] == "!" else { return nil }
    let rest = words.dropFirst(2).joined(separator: " ")
    switch words[1] {
    case "notFound": return .failure(.notFound(device: device, reason: rest))
    case "disconnected": return .failure(.disconnected(device: device))
    case "timedOut": return .failure(.timedOut(device: device, operation: rest))
    case "stalled": return UInt8(rest, radix: 16).map { .failure(.stalled(device: device, endpoint: $0)) }
    case "malformed": return .failure(.malformed(device: device, reason: rest))
    default: return nil
    }
  }
}

/// Text in one line: every run of spaces, tabs and line ends is one space.
func oneLine(_ text: String) -> String {
  text.unicodeScalars.split { $0.value <= 32 }.map { String($0) }.joined(separator: " ")
}

func hexText<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) -> String {
  let text = String(number, radix: 16, uppercase: true)
  return String(repeating: "0", count: Number.bitWidth / 4 - text.count) + text
}

func hexText(_ bytes: [UInt8]) -> String {
  if bytes.isEmpty { return "-" }
  let digits = Array("0123456789ABCDEF".utf8)
  var text: [UInt8] = []
  text.reserveCapacity(2 * bytes.count)
  for byte in bytes {
    text.append(digits[Int(byte >> 4)])
    text.append(digits[Int(byte & 15)])
  }
  return String(decoding: text, as: UTF8.self)
}

/// Nil for what is no row of pairs of hexadecimal digits.
func bytesOfHex(_ text: String) -> [UInt8]? {
  if text == "-" { return [] }
  func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x41...0x46: digit - 0x41 + 10
    case 0x61...0x66: digit - 0x61 + 10
    default: nil
    }
  }
  let digits = Array(text.utf8)
  guard digits.count % 2 == 0 else { return nil }
  var bytes: [UInt8] = []
  bytes.reserveCapacity(digits.count / 2)
  for place in stride(from: 0, to: digits.count, by: 2) {
    guard let high = value(digits[place]), let low = value(digits[place + 1]) else { return nil }
    bytes.append(high << 4 | low)
  }
  return bytes
}
