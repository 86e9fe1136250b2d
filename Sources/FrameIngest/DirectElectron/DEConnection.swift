import DEMessaging
import Linux
import Quantities

/// Requests to a DE-Server and their answers, over one TCP connection (camera-streams.md §4). One at a time: who sends
/// a request fetches its answer before the next.
final class DEConnection {
  static let defaultPort = 13240
  private static let connectPatience = Seconds(2)
  /// From a request to the whole of its answer; what may take the server longer says so.
  static let patience = Seconds(5)

  /// As the configuration has it.
  let url: String
  /// `HOST:PORT`
  let address: String
  /// The camera that requests are for, and the server's software; empty until they have been asked.
  private(set) var camera = ""
  private(set) var software = ""
  private(set) var version = DEServerVersion.commandVersions[0]
  /// The server lets this client only look.
  private(set) var isReadOnly = false
  private let stream: UnixStream
  private var isClosedByPeer = false
  /// Answers that come often are read here, again and again.
  private var answer = [UInt8](repeating: 0, count: 4096)

  private init(_ url: String, _ address: String) throws(CameraError) {
    self.url = url
    self.address = address
    do throws(LinuxError) { stream = try UnixStream.connect(tcp: address, within: Self.connectPatience) } catch {
      throw .unreachable(address: url, reason: error.reason)
    }
  }

  /// `HOST:PORT` of `tcp://HOST:PORT`; the port may be left out.
  static func address(of url: String) throws(CameraError) -> String {
    let rest = url.hasPrefix("tcp://") ? url.dropFirst(6) : url[...]
    guard !rest.isEmpty, !rest.contains("/") else {
      throw .badSetting("`url: \(url)` is not an address; write for example tcp://de-server:\(defaultPort)")
    }
    let isPortThere = rest.last != "]" && rest.contains(":")
    return isPortThere ? String(rest) : "\(rest):\(defaultPort)"
  }

  // MARK: Beginning

  /// Connects and finds out by asking which command version the server speaks. Changes nothing at the camera.
  static func open(_ url: String) throws(CameraError) -> DEConnection {
    let address = try address(of: url)
    var connection = try DEConnection(url, address)
    var refusal: CameraError?
    for version in DEServerVersion.commandVersions {
      // A server may also hang up on a version that it does not know.
      if connection.isClosedByPeer { connection = try DEConnection(url, address) }
      connection.version = version
      do throws(CameraError) {
        let names = try connection.ask(.listCameras)
        connection.camera = names.first?.text ?? ""
        try connection.settleVersion()
        return connection
      } catch {
        guard error.isRefusal || connection.isClosedByPeer else { throw error }
        refusal = error
      }
    }
    throw refusal ?? .unreachable(address: url, reason: "no command version is understood")
  }

  private func settleVersion() throws(CameraError) {
    guard !camera.isEmpty else {
      throw .misunderstood(address: url, request: DECommandNumber.listCameras.name, answer: "no camera")
    }
    software = try property("Server Software Version")?.text ?? ""
    version = DEServerVersion(software)?.commandVersion ?? version
    if version >= 17 {
      isReadOnly = try ifAllowed { () throws(CameraError) in try ask(.getClientReadOnly) }?.first?.boolean ?? false
    } else if version >= 12 {
      // As the public client does: without it some servers take a client for a mere onlooker.
      _ = try ifAllowed { () throws(CameraError) in try ask(.setClientReadOnly, values: [.boolean(false)]) }
    }
  }

  /// nil when the server says no.
  private func ifAllowed<R>(_ body: () throws(CameraError) -> R) throws(CameraError) -> R? {
    do throws(CameraError) { return try body() } catch {
      guard error.isRefusal else { throw error }
      return nil
    }
  }

  // MARK: Properties

  /// nil when the server does not know it.
  func property(_ name: String) throws(CameraError) -> DEValue? {
    try ifAllowed { () throws(CameraError) in try ask(.getProperty, label: name) }?.first
  }

  func setProperty(_ name: String, _ value: DEValue) throws(CameraError) {
    do throws(CameraError) { _ = try ask(.setProperty, label: name, values: [value]) } catch {
      guard case .refused(let address, let request, let answer) = error else { throw error }
      throw .refused(address: address, request: "\(request) “\(name)”", answer: answer)
    }
  }

  /// The largest value of a property whose range the server tells; nil when it does not.
  func largestValue(_ name: String) throws(CameraError) -> Double? {
    let values = try ifAllowed { () throws(CameraError) in try ask(.listAllowedValues, label: name) } ?? []
    // Type of data, “Range”, least, most, category, default, current value (deapi 5.3.1).
    guard values.count > 3, values[1].text == "Range" else { return nil }
    return values[3].number
  }

  // MARK: Requests

  func ask(
    _ command: DECommandNumber, label: String? = nil, values: [DEValue] = [], within limit: Seconds = patience
  ) throws(CameraError) -> [DEValue] {
    try send(command, label: label, values: values)
    return try receiveAnswer(to: command, within: limit)
  }

  func send(_ command: DECommandNumber, label: String? = nil, values: [DEValue] = []) throws(CameraError) {
    try send(framed: framed(command, label: label, values: values), command)
  }

  /// A request as it goes over the wire, to be sent more than once.
  func framed(_ command: DECommandNumber, label: String? = nil, values: [DEValue] = []) -> [UInt8] {
    var packet = DEPacket(.command)
    packet.commands = [DECommand(id: command.id(version: version), label: label, values: values)]
    packet.cameraName = camera
    return packet.framed
  }

  func send(framed request: [UInt8], _ command: DECommandNumber) throws(CameraError) {
    do throws(LinuxError) { try stream.write(request, within: Self.patience) } catch { throw gone(command.name, error) }
  }

  func receiveAnswer(to command: DECommandNumber, within limit: Seconds = patience) throws(CameraError) -> [DEValue] {
    try values(of: try receivePacket(command.name, within: limit), to: command)
  }

  /// The first whole numbers of an answer; none where it has anything else. Allocates nothing for a good one.
  func receiveNumbers(to command: DECommandNumber) throws(CameraError) -> DEAnswerNumbers {
    let count = try receiveCount(command.name, within: Self.patience)
    guard count <= answer.count else {
      return DEAnswerNumbers(try values(of: try receivePacket(of: count, command.name, Self.patience), to: command))
    }
    try readAnswer(count, command.name, within: Self.patience)
    if let numbers = DEAnswerNumbers(parsing: answer[..<count], to: command) { return numbers }
    return DEAnswerNumbers(try values(of: try packet(Array(answer[..<count]), command.name), to: command))
  }

  private func values(of packet: DEPacket, to command: DECommandNumber) throws(CameraError) -> [DEValue] {
    guard packet.kind == .acknowledge, let answer = packet.acknowledges.first else {
      throw .misunderstood(address: url, request: command.name, answer: "a packet that is no acknowledgement")
    }
    // The answer to something else would put all that follow in the wrong place.
    guard answer.id == 0 || answer.id % 100 == command.rawValue else {
      throw .misunderstood(address: url, request: command.name, answer: "the answer to command \(answer.id)")
    }
    if answer.isError {
      let text = answer.errorMessage.isEmpty ? answer.values.first?.text ?? "no reason given" : answer.errorMessage
      throw .refused(address: url, request: command.name, answer: String(text.prefix(200)))
    }
    return answer.values
  }

  /// The packet that says how many bytes follow.
  func receiveDataBytes(_ request: String, most: Int) throws(CameraError) -> Int {
    let packet = try receivePacket(request, within: Self.patience)
    guard packet.kind == .dataHeader, let count = packet.dataBytes, count <= UInt64(most) else {
      throw .misunderstood(address: url, request: request, answer: "a packet that announces no usable data")
    }
    return Int(count)
  }

  private func receivePacket(_ request: String, within limit: Seconds) throws(CameraError) -> DEPacket {
    try receivePacket(of: try receiveCount(request, within: limit), request, limit)
  }

  /// The length before a packet.
  private func receiveCount(_ request: String, within limit: Seconds) throws(CameraError) -> Int {
    try readAnswer(4, request, within: limit)
    let count = (0..<4).reduce(0) { $0 | Int(answer[$1]) << (8 * $1) }
    guard count <= DEPacket.mostBytes else {
      let head = answer[..<4].map { (32..<127).contains($0) ? $0 : UInt8(ascii: "?") }
      throw .misunderstood(address: url, request: request, answer: "\(String(decoding: head, as: UTF8.self))…")
    }
    return count
  }

  private func receivePacket(of count: Int, _ request: String, _ limit: Seconds) throws(CameraError) -> DEPacket {
    try packet(try read(count, request, within: limit), request)
  }

  private func packet(_ bytes: [UInt8], _ request: String) throws(CameraError) -> DEPacket {
    do throws(DEPacketError) { return try DEPacket(parsing: bytes) } catch {
      throw .misunderstood(address: url, request: request, answer: "no packet: \(error)")
    }
  }

  private func readAnswer(_ count: Int, _ request: String, within limit: Seconds) throws(CameraError) {
    var failure: LinuxError?
    unsafe answer.withUnsafeMutableBytes { buffer in
      let room = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
      do throws(LinuxError) { unsafe try stream.readExactly(room, within: limit) } catch { failure = error }
    }
    if let failure { throw gone(request, failure) }
  }

  private func read(_ count: Int, _ request: String, within limit: Seconds) throws(CameraError) -> [UInt8] {
    do throws(LinuxError) { return try stream.readExactly(count, within: limit) } catch { throw gone(request, error) }
  }

  /// Ends the connection; the next use of it fails.
  func hangUp() { stream.shutdown() }

  // MARK: Bytes behind an answer

  func isReadable(within span: Seconds) -> Bool { stream.isReadable(within: span) }

  /// What is there, at most `buffer.count` bytes; 0 when nothing came within `span`.
  func readSome(_ buffer: UnsafeMutableRawBufferPointer, within span: Seconds) throws(CameraError) -> Int {
    do throws(LinuxError) { return try unsafe stream.readSome(buffer, within: span) } catch {
      throw gone("data", error)
    }
  }

  private func gone(_ what: String, _ error: LinuxError) -> CameraError {
    isClosedByPeer = !error.isTimeout
    return .disconnected(address: url, reason: "\(what): \(error.reason)")
  }
}
