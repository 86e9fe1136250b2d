import Linux
package import Quantities

/// A conversation with a USB device, as it was recorded (docs/usb.md has the format).
package struct Transcript: Sendable {
  /// The first line of every transcript.
  static let title = "insitud usb transcript 1"
  /// A recording ends when its file would become longer, and no longer one is read.
  package static let mostBytes = 64 << 20

  package struct Line: Equatable, Sendable {
    /// In the file, from 1.
    package var number: Int
    /// Since the transport was opened.
    package var time: Seconds
    package var entry: TranscriptEntry
  }

  /// Why a file cannot be replayed, and where.
  package struct Problem: Error, Equatable, CustomStringConvertible {
    package var path: String
    /// From 1; 0 for the file as a whole.
    package var line: Int
    package var reason: String
    package var description: String { line == 0 ? "\(path): \(reason)" : "\(path), line \(line): \(reason)" }
  }

  package let path: String
  package let head: TranscriptHead
  package let lines: [Line]

  /// Reads the file of a transcript.
  package static func read(_ path: String) throws(Problem) -> Transcript {
    let bytes: [UInt8]
    do throws(LinuxError) { bytes = try FileSystem.read(path, limit: mostBytes) } catch {
      throw Problem(path: path, line: 0, reason: error.reason)
    }
    return try Transcript(String(decoding: bytes, as: UTF8.self), path: path)
  }

  /// - Parameter path: what errors call the text.
  package init(_ text: String, path: String) throws(Problem) {
    let all = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard all.first == Self.title[...] else {
      throw Problem(path: path, line: 1, reason: "a transcript begins with “\(Self.title)”")
    }
    let end = all.firstIndex(of: "") ?? all.count
    let head = try TranscriptHead(all[1..<end], path: path)
    var lines: [Line] = []
    // Behind the last line break stands nothing, or what a program that was killed could still write of a line.
    let whole = all.count - 1
    for place in min(end, whole)..<whole where !all[place].isEmpty && !all[place].hasPrefix("#") {
      let parts = all[place].split(separator: " ", maxSplits: 1)
      guard parts.count == 2, let time = Double(parts[0]),
        let entry = TranscriptEntry(String(parts[1]), device: head.name)
      else { throw Problem(path: path, line: place + 1, reason: "“\(all[place].prefix(60))” is no entry") }
      lines.append(Line(number: place + 1, time: Seconds(time), entry: entry))
    }
    self.path = path
    self.head = head
    self.lines = lines
  }
}

/// The first lines of a transcript: what was known when the conversation began.
package struct TranscriptHead: Equatable, Sendable {
  /// What errors called the device.
  package var name: String
  package var device: USBDeviceFacts
  package var kind: USBInterfaceKind
  package var interface: USBInterface

  package init(name: String, device: USBDeviceFacts, kind: USBInterfaceKind, interface: USBInterface) {
    self.name = name
    self.device = device
    self.kind = kind
    self.interface = interface
  }

  /// One key in each line, an empty line at the end.
  package var text: String {
    func endpoint(_ key: String, _ endpoint: USBInterface.Endpoint?) -> [String] {
      endpoint.map { ["\(key) \(hexText($0.address)) \($0.packetSize)"] } ?? []
    }
    let numbers = [
      interface.configuration, interface.number, interface.controlNumber, interface.classCode, interface.subclass,
      interface.protocolCode,
    ]
    let lines =
      [
        Transcript.title, "name \(oneLine(name))", "device \(hexText(device.vendor)):\(hexText(device.product))",
        "release \(hexText(device.release))", "serial \(oneLine(device.serial))",
        "manufacturer \(oneLine(device.manufacturerName))", "product \(oneLine(device.productName))",
        "kind \(kind.transcriptText)", "interface " + numbers.map { hexText($0) }.joined(separator: " "),
      ] + endpoint("out", interface.bulkOut) + endpoint("in", interface.bulkIn)
      + endpoint("interrupt", interface.interruptIn)
    return lines.joined(separator: "\n") + "\n\n"
  }

  /// Reads the lines after the first.
  init(_ lines: ArraySlice<Substring>, path: String) throws(Transcript.Problem) {
    var values: [Substring: Substring] = [:]
    for (place, line) in zip(lines.indices, lines) where !line.hasPrefix("#") {
      let parts = line.split(separator: " ", maxSplits: 1)
      guard let key = parts.first, values[key] == nil else {
        throw Transcript.Problem(path: path, line: place + 1, reason: "“\(line.prefix(60))” stands twice")
      }
      values[key] = parts.count == 2 ? parts[1] : ""
    }
    func words(_ key: Substring) -> [Substring] { (values[key] ?? "").split(separator: " ") }
    func endpoint(_ key: Substring) -> USBInterface.Endpoint? {
      let words = words(key)
      guard words.count == 2, let address = UInt8(words[0], radix: 16), let size = Int(words[1]), size > 0 else {
        return nil
      }
      return USBInterface.Endpoint(address: address, packetSize: size)
    }
    let id = (values["device"] ?? "").split(separator: ":").compactMap { UInt16($0, radix: 16) }
    let numbers = words("interface").compactMap { UInt8($0, radix: 16) }
    guard id.count == 2 else { throw .init(path: path, line: 0, reason: "“device VENDOR:PRODUCT” is missing") }
    guard numbers.count == 6 else {
      throw .init(path: path, line: 0, reason: "“interface” with its six numbers is missing")
    }
    guard let kind = USBInterfaceKind(transcriptText: String(values["kind"] ?? "")) else {
      throw .init(path: path, line: 0, reason: "“kind” is none of usbtmc, cdc-acm, ftdi-0 … ftdi-3")
    }
    name = String(values["name"] ?? "")
    device = USBDeviceFacts(
      vendor: id[0], product: id[1], release: UInt16(values["release"] ?? "0", radix: 16) ?? 0,
      serial: String(values["serial"] ?? ""), manufacturerName: String(values["manufacturer"] ?? ""),
      productName: String(values["product"] ?? ""))
    self.kind = kind
    interface = USBInterface(
      configuration: numbers[0], number: numbers[1], classCode: numbers[3], subclass: numbers[4],
      protocolCode: numbers[5], bulkOut: endpoint("out"), bulkIn: endpoint("in"), interruptIn: endpoint("interrupt"))
    interface.controlNumber = numbers[2]
  }
}

extension USBInterfaceKind {
  fileprivate var transcriptText: String {
    switch self {
    case .usbtmc: "usbtmc"
    case .cdcACM: "cdc-acm"
    case .ftdi(let port): "ftdi-\(port)"
    }
  }

  fileprivate init?(transcriptText text: String) {
    if text == "usbtmc" {
      self = .usbtmc
    } else if text == "cdc-acm" {
      self = .cdcACM
    } else if text.hasPrefix("ftdi-"), let port = UInt8(text.dropFirst(5)) {
      self = .ftdi(port: port)
    } else {
      return nil
    }
  }
}
