/// The kinds of refusal, each with its code on the wire and the exit code of a program that met it.
///
/// Exit codes are those of sysexits.h. Codes on the wire are JSON-RPC's own (-32700 … -32600) where it has one, else
/// -32000 minus the exit code, which lies in the range JSON-RPC leaves to servers.
package enum ControlErrorKind: String, CaseIterable, Sendable {
  /// The message is not JSON.
  case malformed
  /// JSON, but not a request.
  case invalidRequest = "invalid_request"
  /// The daemon does not know the method.
  case unknownMethod = "unknown_method"
  /// Wrong parameters, or wrong words on a command line.
  case usage
  /// The data given are wrong: a protocol with errors, a damaged run.
  case data
  /// What was named is not there: no such run, no such file.
  case noInput = "no_input"
  /// Nobody to ask: no daemon, an instrument is missing, no run is going on.
  case unavailable
  /// A defect of this software.
  case software
  /// A file or directory cannot be made, or the disk has no room for it.
  case cannotCreate = "cannot_create"
  /// Reading or writing failed.
  case io
  /// Not now: a run is going on.
  case busy
  case permission
  case configuration
  /// The person at the keyboard ended a wait. Never on the wire.
  case interrupted

  /// `error.code` of JSON-RPC.
  package var code: Int64 {
    switch self {
    case .malformed: -32700
    case .invalidRequest: -32600
    case .unknownMethod: -32601
    case .usage: -32602
    case .interrupted: -32099
    default: -32000 - Int64(exitCode)
    }
  }

  /// Exit code of a program that ends because of it.
  package var exitCode: Int32 {
    switch self {
    case .usage: 64
    case .data: 65
    case .noInput: 66
    // An older daemon that lacks the method: what is asked for is not to be had there.
    case .unavailable, .unknownMethod: 69
    case .software, .malformed, .invalidRequest: 70
    case .cannotCreate: 73
    case .io: 74
    case .busy: 75
    case .permission: 77
    case .configuration: 78
    case .interrupted: 130
    }
  }

  /// The kind with this code; nil for a code nobody here sends.
  package init?(code: Int64) {
    guard let kind = Self.allCases.first(where: { $0.code == code }) else { return nil }
    self = kind
  }
}
