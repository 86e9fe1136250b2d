package import Quantities

/// A socket that accepts stream connections.
package protocol StreamListener: Sendable {
  /// The next connection, or nil when none came within `span`.
  func accept(within span: Seconds) throws(LinuxError) -> UnixStream?
}
