import JSON
import Linux

/// What was last heard of each instrument. `status` reads it without asking, and waiting for, anybody.
final class InstrumentBoard: Sendable {
  struct Entry: Sendable {
    var model: String
    var identity = ""
    var isConnected = false
    var state = ""
    var error: String?
  }

  private let entries: Monitor<[String: Entry]>

  init(_ models: [String: String]) { entries = Monitor(models.mapValues { Entry(model: $0) }) }

  func connected(_ kind: String, _ identity: String, state: String = "") {
    entries.update { entries in
      entries[kind]?.isConnected = true
      entries[kind]?.identity = identity
      entries[kind]?.error = nil
      if !state.isEmpty { entries[kind]?.state = state }
    }
  }

  func failed(_ kind: String, _ error: String) {
    entries.update { entries in
      entries[kind]?.isConnected = false
      entries[kind]?.error = error
    }
  }

  func setState(_ kind: String, _ state: String) { entries.update { $0[kind]?.state = state } }
  subscript(_ kind: String) -> Entry? { entries.read { $0[kind] } }

  var json: JSONValue {
    .array(
      entries.read { $0 }.sorted { $0.key < $1.key }.map { kind, entry in
        [
          "kind": .string(kind), "model": .string(entry.model), "identity": .string(entry.identity),
          "connected": .bool(entry.isConnected), "error": .optional(entry.error),
          "state": entry.state.isEmpty ? .null : .string(entry.state),
        ]
      })
  }
}
