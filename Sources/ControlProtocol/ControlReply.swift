package import JSON

/// The answer to one request.
package struct ControlReply: Equatable, Sendable {
  /// That of the request; nil when the request was a notification and nothing may be sent.
  package var id: JSONValue?
  package var outcome: Result<JSONValue, ControlError>

  /// A reply instead of a request that can be carried out.
  package struct Refusal: Error, Equatable, Sendable {
    package var reply: ControlReply
  }

  package init(id: JSONValue?, result: JSONValue) {
    self.id = id
    outcome = .success(result)
  }

  package init(id: JSONValue?, _ error: ControlError) {
    self.id = id
    outcome = .failure(error)
  }

  package init(to request: ControlRequest, result: JSONValue) { self.init(id: request.id, result: result) }
  package init(to request: ControlRequest, _ error: ControlError) { self.init(id: request.id, error) }

  /// The reply on the wire; nil when none may be sent.
  package var bytes: [UInt8]? {
    guard let id else { return nil }
    let document: JSONValue =
      switch outcome {
      case .success(let result): ["jsonrpc": "2.0", "id": id, "result": result]
      case .failure(let error): ["jsonrpc": "2.0", "id": id, "error": error.json]
      }
    return document.bytes
  }

  /// Reads a reply as a client; nil when it is not one.
  package init?(parsing bytes: [UInt8]) {
    guard let document = try? JSONValue(parsing: bytes), let members = document.object, members["jsonrpc"] == "2.0"
    else { return nil }
    if let error = members["error"] {
      self.init(id: members["id"] ?? .null, ControlError(json: error))
    } else if let result = members["result"] {
      self.init(id: members["id"] ?? .null, result: result)
    } else {
      return nil
    }
  }
}
