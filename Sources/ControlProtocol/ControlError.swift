package import JSON

/// A refusal or failure that travels from the daemon to a person: what is wrong, and what to do about it.
package struct ControlError: Error, Equatable, Sendable, CustomStringConvertible {
  package var kind: ControlErrorKind
  /// One sentence without a full stop.
  package var message: String
  /// One or more whole sentences; empty where there is nothing to do.
  package var remedy: String
  /// More for programs: `errors` of a protocol, `run` in the way, …
  package var details: [String: JSONValue]

  package init(
    _ kind: ControlErrorKind, _ message: String, remedy: String = "", details: [String: JSONValue] = [:]
  ) {
    self.kind = kind
    self.message = message
    self.remedy = remedy
    self.details = details
  }

  /// An error of a protocol, with its place; line 0 where the protocol did not come from a file.
  package struct Place: Equatable, Sendable {
    package var line: Int
    package var column: Int
    package var message: String
    package var remedy: String

    package init(line: Int, column: Int, message: String, remedy: String) {
      self.line = line
      self.column = column
      self.message = message
      self.remedy = remedy
    }
  }

  /// The refusal of a protocol (or another text) with all its errors; `places` must not be empty.
  package init(file: String, places: [Place]) {
    let first = places[0]
    let place = first.line > 0 ? "\(file):\(first.line):\(first.column)" : file
    let more = places.count > 1 ? " (and \(places.count - 1) more)" : ""
    self.init(
      .data, "\(place): \(first.message)\(more)", remedy: first.remedy,
      details: [
        "file": .string(file),
        "errors": .array(
          places.map {
            [
              "line": .integer(Int64($0.line)), "column": .integer(Int64($0.column)), "message": .string($0.message),
              "remedy": .string($0.remedy),
            ]
          }),
      ])
  }

  /// The places named in `details.errors`.
  package var places: [Place] {
    (details["errors"]?.array ?? []).compactMap {
      guard let line = $0["line"]?.integer, let message = $0["message"]?.string else { return nil }
      return Place(
        line: Int(line), column: Int($0["column"]?.integer ?? 1), message: message, remedy: $0["remedy"]?.string ?? "")
    }
  }

  /// "message. Remedy." where the remedy is a sentence, "message; remedy" where it goes on in lower case.
  package var description: String {
    guard let first = remedy.first else { return message }
    if first.isLowercase { return "\(message); \(remedy)" }
    return message.last.map { ".?!".contains($0) } ?? true ? "\(message) \(remedy)" : "\(message). \(remedy)"
  }

  /// The `error` member of a JSON-RPC reply.
  package var json: JSONValue {
    [
      "code": .integer(kind.code), "message": .string(message),
      "data": ["kind": .string(kind.rawValue), "remedy": .string(remedy), "details": .object(details)],
    ]
  }

  /// Reads what `json` wrote; a stranger's error keeps its message and becomes `software`.
  package init(json: JSONValue) {
    let data = json["data"]
    let kind =
      data?["kind"]?.string.flatMap { ControlErrorKind(rawValue: $0) }
      ?? json["code"]?.integer.flatMap { ControlErrorKind(code: $0) }
    self.init(
      kind ?? .software, json["message"]?.string ?? "the daemon refused without saying why",
      remedy: data?["remedy"]?.string ?? "", details: data?["details"]?.object ?? [:])
  }
}
