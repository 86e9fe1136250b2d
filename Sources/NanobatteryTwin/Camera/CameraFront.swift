/// Where clients of the twin's camera connect.
package protocol CameraFront: Sendable {
  var isConnected: Bool { get }
  /// Clients served so far.
  var connections: UInt64 { get }
  /// Ends the client's connection and the threads.
  func close()
}
