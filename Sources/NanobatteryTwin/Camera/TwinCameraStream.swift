package import Linux

/// The form in which the twin's camera sends its frames.
package enum TwinCameraStream: String, CaseIterable, Sendable {
  /// A ring in shared memory and a Unix socket.
  case shm
  /// Direct Electron DE-Server.
  case de

  /// Opens the front for clients.
  /// - Parameters:
  ///   - path: of the Unix socket.
  ///   - address: `HOST:PORT`; nil for the loopback address and the port that such cameras have.
  package func open(
    _ camera: TwinCamera, path: String, address: String?, report: @escaping @Sendable (String) -> Void
  ) throws(LinuxError) -> any CameraFront {
    switch self {
    case .shm: return try CameraPort(path: path, camera: camera, report: report)
    case .de:
      var settings = DEServerSettings()
      settings.address = address ?? settings.address
      return try DEServer(settings, camera: camera, report: report)
    }
  }
}
