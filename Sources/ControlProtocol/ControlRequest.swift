package import JSON

/// A request as it arrives at the daemon: a known method with parameters that fit it.
package struct ControlRequest: Equatable, Sendable {
  /// A text, a number or null; nil for a notification, which is carried out and never answered.
  package var id: JSONValue?
  package var method: ControlMethod
  /// Checked against `ControlMethod.parameters`.
  package var parameters: [String: JSONValue]

  package init(id: JSONValue?, method: ControlMethod, parameters: [String: JSONValue] = [:]) {
    self.id = id
    self.method = method
    self.parameters = parameters
  }

  /// A parameter's text; nil when an optional one was not given.
  package func text(_ name: String) -> String? { parameters[name]?.string }

  /// The request on the wire.
  package var bytes: [UInt8] {
    var members: [String: JSONValue] = ["jsonrpc": "2.0", "method": .string(method.rawValue)]
    if let id { members["id"] = id }
    if !parameters.isEmpty { members["params"] = .object(parameters) }
    return JSONValue.object(members).bytes
  }

  /// Reads one request.
  /// - Throws: the reply to send, with JSON-RPC's own code; its `id` is nil where nothing may be sent.
  package init(parsing bytes: [UInt8]) throws(ControlReply.Refusal) {
    let document: JSONValue
    do throws(ControlError) {
      document = try JSONLimits.parse(bytes)
    } catch {
      throw ControlReply.Refusal(reply: ControlReply(id: .null, error))
    }
    if document.array != nil {
      throw Self.invalid(.null, "batches are not taken", remedy: "Send one request per message.")
    }
    guard case .object(let members) = document else {
      throw Self.invalid(.null, "a request is a JSON object", remedy: Self.shape)
    }
    let id: JSONValue?
    switch members["id"] {
    case nil: id = nil
    case .some(.string), .some(.integer), .some(.number), .some(.null): id = members["id"]
    default: throw Self.invalid(.null, "“id” is neither text nor number", remedy: Self.shape)
    }
    let answerTo = id ?? .null
    guard members["jsonrpc"] == "2.0" else {
      throw Self.invalid(answerTo, "“jsonrpc” is not \"2.0\"", remedy: Self.shape)
    }
    guard let name = members["method"]?.string else {
      throw Self.invalid(answerTo, "“method” is missing or not a text", remedy: Self.shape)
    }
    let parameters: [String: JSONValue]
    switch members["params"] {
    case nil, .some(.null): parameters = [:]
    case .some(.object(let given)): parameters = given
    case .some(.array):
      throw ControlReply.Refusal(
        reply: ControlReply(
          id: id, ControlError(.usage, "parameters by position are not taken", remedy: "Give them by name.")))
    default: throw Self.invalid(answerTo, "“params” is not a JSON object", remedy: Self.shape)
    }
    guard let method = ControlMethod(rawValue: name) else {
      let known = ControlMethod.allCases.map(\.rawValue).joined(separator: ", ")
      throw ControlReply.Refusal(
        reply: ControlReply(
          id: id,
          ControlError(.unknownMethod, "there is no method “\(name.prefix(64))”", remedy: "Methods: \(known).")))
    }
    if let complaint = method.complaint(about: parameters) {
      throw ControlReply.Refusal(reply: ControlReply(id: id, complaint))
    }
    self.init(id: id, method: method, parameters: parameters)
  }

  private static let shape = #"Send {"jsonrpc":"2.0","id":1,"method":"status"}."#

  private static func invalid(_ id: JSONValue, _ message: String, remedy: String) -> ControlReply.Refusal {
    ControlReply.Refusal(reply: ControlReply(id: id, ControlError(.invalidRequest, message, remedy: remedy)))
  }
}
