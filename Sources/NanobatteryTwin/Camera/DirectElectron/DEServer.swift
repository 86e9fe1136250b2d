internal import DEMessaging
internal import Glibc
package import Linux
internal import Quantities

/// A DE-Server in software (camera-streams.md §4): commands over TCP, the emergency stop by UDP at the same port, and
/// behind them the twin's camera. One client at a time.
package final class DEServer: CameraOutlet {
  private struct State {
    var client: UnixStream?
    var closing = false
    var connections: UInt64 = 0
  }

  private static let pollInterval = Seconds(0.1)

  private let camera: TwinCamera
  private let settings: DEServerSettings
  private let listener: TCPListener
  private let datagrams: UDPSocket
  private let state = Monitor(State())
  private let report: @Sendable (String) -> Void
  private let threads = Monitor<[NamedThread]>([])

  /// `HOST:PORT` that is bound.
  package var address: String { listener.address }

  package init(
    _ settings: DEServerSettings, camera: TwinCamera, report: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(LinuxError) {
    self.camera = camera
    self.settings = settings
    self.report = report
    listener = try TCPListener(settings.address)
    datagrams = try UDPSocket(listening: listener.address)
    threads.update {
      $0 = [
        NamedThread("twin-de") { [self] in acceptAll() }, NamedThread("twin-de-udp") { [self] in answerDatagrams() },
      ]
    }
  }

  package var isConnected: Bool { state.read { $0.client != nil } }
  package var connections: UInt64 { state.read { $0.connections } }

  /// Ends the client's connection and the threads.
  package func close() {
    state.update {
      $0.closing = true
      $0.client?.shutdown()
    }
    let running = threads.update { threads in
      defer { threads = [] }
      return threads
    }
    for thread in running { thread.join() }
  }

  /// As if the network were gone for a moment.
  package func hangUp() { state.update { $0.client?.shutdown() } }

  private var isClosing: Bool { state.read { $0.closing } }

  private func acceptAll() {
    // Acquisitions outlive connections, as at the hardware.
    let acquisition = DEAcquisition(camera)
    var properties = DEProperties(settings, width: camera.settings.width, height: camera.settings.height)
    while !isClosing {
      let accepted: UnixStream?
      do throws(LinuxError) { accepted = try listener.accept(within: Self.pollInterval) } catch {
        report("DE-Server: \(error)")
        sleepThread(for: Seconds(1))
        continue
      }
      guard let stream = accepted else { continue }
      let isOpen = state.update { state in
        state.client = stream
        state.connections += 1
        return !state.closing
      }
      report("camera: client connected to the DE-Server")
      let session = DESession(stream, settings, acquisition, properties, camera)
      if isOpen { session.serve { [self] in isClosing } }
      properties = session.properties
      stream.shutdown()
      state.update { $0.client = nil }
      report("camera: client of the DE-Server gone")
    }
    acquisition.stop()
  }

  private func answerDatagrams() {
    while !isClosing {
      guard let request = try? datagrams.receive(within: Self.pollInterval) else { continue }
      guard request.bytes == DEEmergencyStop.request, !settings.isDeafToDatagrams else { continue }
      _ = try? camera.stop()
      report("camera: stopped by datagram")
      try? datagrams.send(DEEmergencyStop.confirmation, to: request.sender)
    }
  }
}
