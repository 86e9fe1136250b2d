internal import FrameRing
package import Linux
internal import Quantities

/// The twin's camera as a Merlin: commands on one port, `MPX` messages on another (camera-streams.md §3).
///
/// One client for each port. What is not sent because nobody listens is lost, and a client that comes in the middle of
/// an acquisition gets its frames without an acquisition header.
package final class MerlinSender: CameraOutlet, Sendable {
  package struct Settings: Sendable {
    /// `HOST:PORT`; port 0 for any that is free.
    package var dataAddress = "127.0.0.1:6342"
    package var controlAddress = "127.0.0.1:6341"
    /// The data connection ends behind each acquisition.
    package var closesBehindAcquisition = false
    /// More frames than this are out of range.
    package var mostFrames: UInt64 = 42_949_672_950
    /// Bytes of an acquisition before that a new client finds in the pipe.
    package var staleBytes = 0
    /// Called for each frame that was written, on the sender's thread.
    package var sent: @Sendable (SentFrame) -> Void = { _ in }
    package init() {}
  }

  static let softwareVersion = "0.77.0.16"
  private static let pollInterval = Seconds(0.02)

  private let engine: MerlinEngine
  private let tap: CameraTap
  private let controlListener: TCPListener
  private let isClosing = Monitor(false)
  private let controlThread = Monitor<NamedThread?>(nil)
  package let dataAddress: String
  package let controlAddress: String

  /// Listens at both ports.
  package init(
    _ camera: TwinCamera, _ settings: Settings, report: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(LinuxError) {
    let data = try TCPListener(settings.dataAddress)
    controlListener = try TCPListener(settings.controlAddress)
    dataAddress = data.address
    controlAddress = controlListener.address
    engine = MerlinEngine(camera, settings, data, report)
    tap = CameraTap(camera, engine)
    controlThread.update { $0 = NamedThread("twin-merlin") { [self] in serveAll() } }
  }

  package var isConnected: Bool { engine.state.read { $0.controlClients > 0 || $0.hasDataClient } }
  package var connections: UInt64 { engine.state.read { $0.connections } }

  package func close() {
    isClosing.update { $0 = true }
    controlThread.update { running in
      running?.join()
      running = nil
    }
    tap.close()
  }

  private func serveAll() {
    while !isClosing.read({ $0 }) {
      guard let client = try? controlListener.accept(within: Self.pollInterval) else { continue }
      engine.state.update {
        $0.controlClients += 1
        $0.connections += 1
      }
      serve(client)
      engine.state.update { $0.controlClients -= 1 }
    }
  }

  /// One client after the other, as the Merlin software has it.
  private func serve(_ client: UnixStream) {
    do throws(LinuxError) {
      while !isClosing.read({ $0 }) {
        guard client.isReadable(within: Self.pollInterval) else { continue }
        let prefix = try client.readExactly(15, within: Seconds(1))
        guard let length = Self.payloadBytes(prefix) else { throw LinuxError("a request") }
        let body = try client.readExactly(length, within: Seconds(1))
        let answer = engine.reply(String(decoding: body, as: UTF8.self))
        try client.write(MerlinText.message(Array(answer.utf8)))
      }
    } catch {
      engine.report("merlin: command client gone (\(error.reason))")
    }
    client.shutdown()
  }

  private static func payloadBytes(_ prefix: [UInt8]) -> Int? {
    let text = String(decoding: prefix, as: UTF8.self)
    guard text.hasPrefix("MPX,"), text.hasSuffix(","), let number = Int(text.dropFirst(4).dropLast()),
      (1...4096).contains(number)
    else { return nil }
    return number - 1
  }
}
