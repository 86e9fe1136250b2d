/// Where the twin's camera can be reached: its own port, or a stream in the wire format of a product.
package protocol CameraOutlet: AnyObject, Sendable {
  var isConnected: Bool { get }
  /// Clients served so far.
  var connections: UInt64 { get }
  func close()
}
