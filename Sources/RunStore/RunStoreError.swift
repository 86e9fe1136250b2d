package import Linux
package import SQLite

/// What the store of runs could not do: where, why, and what helps.
package struct RunStoreError: Error, Equatable, CustomStringConvertible {
  package enum Kind: Sendable {
    /// A name, prefix or `last` that means no run.
    case notFound
    /// A prefix that means several runs.
    case ambiguous
    /// Another process holds the data directory, or the run is still being recorded.
    case busy
    /// The disk or the quota is full.
    case diskFull
    /// The system or SQLite refused.
    case failed
    /// A file is not what it should be.
    case damaged
  }

  package var kind: Kind
  package var description: String

  package init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }

  package init(_ error: LinuxError, _ remedy: String = "") {
    kind = error.isFull ? .diskFull : .failed
    description = remedy.isEmpty ? error.description : "\(error); \(remedy)"
  }

  package init(_ error: DatabaseError, in path: String) {
    kind = error.isFull ? .diskFull : .failed
    description = "\(path): \(error)" + (error.isFull ? "; free some space on its disk" : "")
  }
}
