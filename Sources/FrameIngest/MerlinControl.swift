import Glibc
import Linux
import Quantities

/// The command side of a Merlin: text requests and replies over TCP (camera-streams.md §3).
///
/// `MPX,0000000022,GET,SOFTWAREVERSION,0` is answered by `MPX,length,GET,SOFTWAREVERSION,value,code`, SET and CMD by
/// `MPX,length,SET,name,code`.
final class MerlinControl {
  private static let connectPatience = Seconds(2)
  /// Public clients wait one second.
  private static let patience = Seconds(2)
  /// Behind the last byte of a reply whose length is wrong.
  private static let afterthought = Seconds(0.2)
  private static let mostReplyBytes = 4096

  let address: String
  private let stream: UnixStream

  init(connecting address: String) throws(CameraError) {
    self.address = address
    do throws(LinuxError) { stream = try UnixStream.connect(tcp: address, within: Self.connectPatience) } catch {
      throw .unreachable(address: address, reason: "\(error)")
    }
  }

  func get(_ name: String) throws(CameraError) -> String { try ask("GET", name, "0") }
  func set(_ name: String, _ value: String) throws(CameraError) { _ = try ask("SET", name, value) }
  func command(_ name: String) throws(CameraError) { _ = try ask("CMD", name, "0") }

  /// Nothing comes that was not asked for: readable means that the other end is gone, or that a reply came too late.
  func checkAlive() throws(CameraError) {
    guard stream.isReadable(within: Seconds(0)) else { return }
    do throws(LinuxError) { try discard() } catch {
      throw .disconnected(address: address, reason: "the Merlin software closed its command port")
    }
  }

  private func ask(_ kind: String, _ name: String, _ value: String) throws(CameraError) -> String {
    let body = "\(kind),\(name),\(value)"
    let request = kind == "SET" ? "SET \(name) \(value)" : "\(kind) \(name)"
    let reply: [UInt8]
    do throws(LinuxError) {
      try discard()
      let length = "\(body.utf8.count + 1)"
      let zeros = String(repeating: "0", count: 10 - length.utf8.count)
      try stream.write(Array("MPX,\(zeros)\(length),\(body)".utf8), within: Self.patience)
      reply = try receive()
    } catch {
      throw .disconnected(address: address, reason: "\(request): \(error.reason)")
    }
    let fields = reply.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false).map {
      String(decoding: $0.filter { $0 >= 32 }, as: UTF8.self)
    }
    guard fields.count >= 3, fields[0] == kind, fields[1] == name, let code = Int(fields[fields.count - 1]) else {
      throw .misunderstood(address: address, request: request, answer: Self.printable(reply))
    }
    guard code == 0 else { throw .refused(address: address, request: request, answer: Self.meaning(code)) }
    return fields[2..<(fields.count - 1)].joined(separator: ",")
  }

  private static func meaning(_ code: Int) -> String {
    switch code {
    case 1: "it is busy (1); end what runs in the Merlin software"
    case 2: "it does not know this command (2); is the Merlin software too old?"
    case 3: "the value is out of its range (3)"
    default: "code \(code)"
    }
  }

  /// The payload of the next message; what else was sent instead when it is none.
  private func receive() throws(LinuxError) -> [UInt8] {
    let end = MonotonicTime.now + Self.patience
    var bytes: [UInt8] = []
    var wanted = MerlinPrefix.bytes
    var isPrefixed: Bool?
    while bytes.count < wanted {
      let span = isPrefixed == true ? min(Self.afterthought, end - .now) : end - .now
      let more = try receiveSome(within: max(span, Seconds(0)))
      // A length that counts a byte too many is no reason to wait for it: a reply ends with a comma and its code.
      if more.isEmpty {
        if isPrefixed == true, bytes.count > MerlinPrefix.bytes { break }
        throw LinuxError("recv", number: ETIMEDOUT)
      }
      bytes += more
      if isPrefixed == nil, bytes.count >= MerlinPrefix.bytes {
        guard let payload = unsafe bytes.withUnsafeBytes({ unsafe MerlinPrefix.payloadBytes($0) }),
          payload <= Self.mostReplyBytes
        else { return bytes }
        isPrefixed = true
        wanted = MerlinPrefix.bytes + payload
      }
    }
    return Array(bytes.dropFirst(MerlinPrefix.bytes))
  }

  private func receiveSome(within span: Seconds) throws(LinuxError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 1024)
    var count = 0
    var failure: LinuxError?
    unsafe bytes.withUnsafeMutableBytes { buffer in
      do throws(LinuxError) { count = unsafe try stream.readSome(buffer, within: span) } catch { failure = error }
    }
    if let failure { throw failure }
    return Array(bytes[..<count])
  }

  /// What was left of earlier replies.
  private func discard() throws(LinuxError) {
    for _ in 0..<16 {
      if try receiveSome(within: Seconds(0)).isEmpty { return }
    }
  }

  private static func printable(_ bytes: [UInt8]) -> String {
    String(decoding: bytes.prefix(80).map { (32..<127).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
  }
}
