/// Addresses of cameras as they stand in the configuration.
enum NetworkAddress {
  /// `HOST:PORT` of `tcp://HOST[:PORT]`; an IPv6 host stands in brackets.
  static func of(_ text: String, key: String, port: Int) throws(CameraError) -> String {
    let scheme = "tcp://"
    let rest = text.hasPrefix(scheme) ? text.dropFirst(scheme.count) : ""
    let colon = rest.lastIndex(of: ":")
    // A colon inside brackets belongs to the host.
    let hasPort = colon.map { rest[$0...].firstIndex(of: "]") == nil } ?? false
    let host = hasPort ? rest[..<(colon ?? rest.endIndex)] : rest
    let isHost = !host.isEmpty && !host.contains("/") && (host.hasPrefix("[") || !host.contains(":"))
    let number = hasPort ? colon.flatMap { UInt16(rest[rest.index(after: $0)...]) } : UInt16(port)
    guard isHost, let number, number > 0 else {
      throw .badSetting("`\(key): \(text)` is not an address; write for example tcp://camera:\(port)")
    }
    return "\(host):\(number)"
  }
}
