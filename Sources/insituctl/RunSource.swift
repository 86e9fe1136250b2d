import ControlProtocol
import JSON
import Quantities

/// Where runs are found: through the daemon, or with `--data` in a data directory.
enum RunSource {
  case daemon(ControlClient)
  case directory(String)

  init(_ invocation: Invocation) throws(ControlError) {
    if let data = invocation.data {
      self = .directory(data)
    } else {
      self = .daemon(try ControlClient(invocation.endpoint))
    }
  }

  /// The document of `runs.list`.
  func list() throws(ControlError) -> JSONValue {
    switch self {
    case .daemon(let client): try client.call(.runsList)
    case .directory: throw ControlError(.software, "not yet")
    }
  }

  /// The document of `runs.show`.
  func summary(_ id: String) throws(ControlError) -> JSONValue {
    switch self {
    case .daemon(let client): try client.call(.runsShow, ["id": .string(id)])
    case .directory: throw ControlError(.software, "not yet")
    }
  }
}
