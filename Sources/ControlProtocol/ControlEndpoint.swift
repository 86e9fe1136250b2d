/// Where the daemon listens unless its configuration says otherwise.
package enum ControlEndpoint {
  package static let control = "ipc:///run/insitud/control"
  package static let streams = "ipc:///run/insitud/streams"
  /// The environment variable that names another control endpoint.
  package static let environmentVariable = "INSITUD_ENDPOINT"
  /// Version of methods and results; a client refuses a daemon with another one.
  package static let protocolVersion: Int64 = 1

  /// The socket's path of an `ipc://` endpoint; nil for another transport.
  package static func path(of endpoint: String) -> String? {
    endpoint.hasPrefix("ipc://") ? String(endpoint.dropFirst("ipc://".count)) : nil
  }
}
