import Glibc
import Linux
import Quantities
import USB

/// The instruments that are open, and what can be done with them.
final class Probe {
  private struct Open {
    var transport: any USBTransport
    var messages: SCPIConnection?
    var usbtmc: USBTMC?
  }

  private let bus = LibUSBBus()
  private var opened: [String: Open] = [:]

  func closeAll() { for open in opened.values { open.transport.close() } }

  func run(_ line: String) throws(ProbeError) -> String {
    var words = line.split(separator: " ").map(String.init)[...]
    func word() throws(ProbeError) -> String {
      guard let word = words.popFirst() else { throw ProbeError("“\(line)”: a word is missing") }
      return word
    }
    func number() throws(ProbeError) -> Double {
      let text = try word()
      guard let number = Double(text) else { throw ProbeError("“\(line)”: \(text) is no number") }
      return number
    }
    func endpoint() throws(ProbeError) -> UInt8 {
      let text = try word()
      guard let number = UInt8(text, radix: 16) else { throw ProbeError("“\(line)”: \(text) is no endpoint") }
      return number
    }
    func rest() -> String { words.joined(separator: " ") }

    switch try word() {
    case "list": return try list()
    case "watch":
      bus.watch { change in
        switch change {
        case .arrived(let facts): say("event", "arrived \(Self.text(facts))")
        case .left(let facts): say("event", "left \(Self.text(facts))")
        }
      }
      return ""
    case "open": return try open(try word(), try word(), try word())
    case "query":
      let messages = try messages(try word())
      let limit = Seconds(try number())
      return try instrument { () throws(InstrumentError) in try messages.query(rest(), within: limit) }
    case "block":
      let messages = try messages(try word())
      let limit = Seconds(try number())
      let bytes = try instrument { () throws(InstrumentError) in try messages.queryBytes(rest(), within: limit) }
      return "\(bytes.count) \(Self.sum(bytes))"
    case "time":
      let messages = try messages(try word())
      let count = Int(try number())
      let start = MonotonicTime.now
      for _ in 0..<count {
        _ = try instrument { () throws(InstrumentError) in try messages.query(rest()) }
      }
      return "\(Double((.now - start).nanoseconds) / 1000 / Double(count))"
    case "send":
      let messages = try messages(try word())
      try instrument { () throws(InstrumentError) in try messages.send(rest()) }
      return ""
    case "status":
      guard let usbtmc = opened[try word()]?.usbtmc else { throw ProbeError("“\(line)”: not open as usbtmc") }
      return try wire { () throws(USBError) in "\(try usbtmc.statusByte())" }
    case "clear":
      let messages = try messages(try word())
      try instrument { () throws(InstrumentError) in try messages.clear() }
      return ""
    case "receive":
      let transport = try transport(try word())
      let (from, most, limit) = (try endpoint(), Int(try number()), Seconds(try number()))
      return try wire { () throws(USBError) in "\(try transport.receive(most, from: from, within: limit).count)" }
    case "listen":
      let name = try word()
      let transport = try transport(name)
      let (from, transfers, most) = (try endpoint(), Int(try number()), Int(try number()))
      try wire { () throws(USBError) in
        try transport.listen(to: from, transfers: transfers, most: most) { result, _ in
          switch result {
          case .success(let bytes): say("event", "heard \(name) \(bytes.count)")
          case .failure(let error): say("event", "heard \(name) error \(error)")
          }
        }
      }
      return ""
    case "halt":
      let transport = try transport(try word())
      let endpoint = try endpoint()
      try wire { () throws(USBError) in try transport.clearHalt(endpoint) }
      return ""
    case "idle":
      let before = processCPUTime()
      sleepThread(for: Seconds(try number()))
      return "\((processCPUTime() - before).value * 1000)"
    case "close":
      let name = try word()
      try transport(name).close()
      opened[name] = nil
      return ""
    case let other: throw ProbeError("unknown command “\(other)”")
    }
  }

  // MARK: commands

  private func list() throws(ProbeError) -> String {
    try wire { () throws(USBError) in
      try bus.devices(name: "probe").map { "\(Self.text($0)) \($0.manufacturerName) \($0.productName)" }
        .joined(separator: "; ")
    }
  }

  private func open(_ name: String, _ kind: String, _ match: String) throws(ProbeError) -> String {
    guard let match = USBMatch(match) else { throw ProbeError("“\(match)” names no device") }
    let interfaceKind: USBInterfaceKind
    switch kind {
    case "usbtmc": interfaceKind = .usbtmc
    case "cdc": interfaceKind = .cdcACM
    case _ where kind.hasPrefix("ftdi"):
      guard let port = UInt8(kind.dropFirst(4)) else { throw ProbeError("“\(kind)”: ftdi0, ftdi1 … are known") }
      interfaceKind = .ftdi(port: port)
    default: throw ProbeError("“\(kind)” is no kind of interface; usbtmc, cdc and ftdi0 … are known")
    }
    let transport = try wire { () throws(USBError) in try bus.open(match, interfaceKind, name: name) }
    var usbtmc: USBTMC?
    if interfaceKind == .usbtmc {
      usbtmc = try wire { () throws(USBError) in try USBTMC(transport, name: name) }
    }
    opened[name] = Open(
      transport: transport, messages: usbtmc.map { SCPIConnection($0, name: name) }, usbtmc: usbtmc)
    func hex(_ endpoint: UInt8?) -> String { endpoint.map { String($0, radix: 16) } ?? "none" }
    let interface = transport.interface
    return "\(Self.text(transport.device)) out \(hex(interface.bulkOut?.address)) in \(hex(interface.bulkIn?.address))"
      + " interrupt \(hex(interface.interruptIn?.address))"
  }

  // MARK: names

  private func transport(_ name: String) throws(ProbeError) -> any USBTransport {
    guard let open = opened[name] else { throw ProbeError("“\(name)” is not open") }
    return open.transport
  }

  private func messages(_ name: String) throws(ProbeError) -> SCPIConnection {
    guard let messages = opened[name]?.messages else { throw ProbeError("“\(name)” is not open as usbtmc") }
    return messages
  }

  private func instrument<R>(_ body: () throws(InstrumentError) -> R) throws(ProbeError) -> R {
    do throws(InstrumentError) { return try body() } catch { throw ProbeError(error) }
  }

  private func wire<R>(_ body: () throws(USBError) -> R) throws(ProbeError) -> R {
    do throws(USBError) { return try body() } catch { throw ProbeError(error) }
  }

  private static func text(_ facts: USBDeviceFacts) -> String {
    func four(_ number: UInt16) -> String {
      let text = String(number, radix: 16)
      return String(repeating: "0", count: 4 - text.count) + text
    }
    return "\(four(facts.vendor)):\(four(facts.product)) \(facts.serial.isEmpty ? "-" : facts.serial)"
  }

  private static func sum(_ bytes: [UInt8]) -> UInt32 {
    unsafe bytes.withUnsafeBytes { unsafe crc32c($0) }
  }
}
