internal import DEMessaging
internal import FrameRing
internal import Glibc
internal import Linux
internal import Quantities

/// One client of the emulated DE-Server, from its connection to its end.
final class DESession {
  private static let pollInterval = Seconds(0.2)
  private static let patience = Seconds(10)
  static let headerBytes = 1024

  let stream: UnixStream
  let settings: DEServerSettings
  let acquisition: DEAcquisition
  var properties: DEProperties
  let camera: TwinCamera
  let version: UInt32
  /// Movie buffers sent, lost or said to have failed, in this connection.
  var buffers: UInt64 = 0

  init(
    _ stream: UnixStream, _ settings: DEServerSettings, _ acquisition: DEAcquisition, _ properties: DEProperties,
    _ camera: TwinCamera
  ) {
    self.stream = stream
    self.settings = settings
    self.acquisition = acquisition
    self.properties = properties
    self.camera = camera
    version = DEServerVersion(settings.software)?.commandVersion ?? DEServerVersion.commandVersions[0]
  }

  /// What a session ends with: the client is gone, spoke nonsense, or a fault is planned.
  struct End: Error {}

  func serve(until isOver: () -> Bool) {
    acquisition.abandonMovie()
    do throws(End) {
      while !isOver() {
        guard stream.isReadable(within: Self.pollInterval) else { continue }
        for command in try readPacket().commands { try answer(command) }
      }
    } catch {}
  }

  private func readPacket() throws(End) -> DEPacket {
    do throws(LinuxError) {
      let count = try stream.readExactly(4, within: Self.patience).reversed().reduce(0) { $0 << 8 | Int($1) }
      guard count <= DEPacket.mostBytes,
        let packet = try? DEPacket(parsing: try stream.readExactly(count, within: Self.patience)),
        packet.kind == .command
      else { return DEPacket(.null) }
      return packet
    } catch { throw End() }
  }

  // MARK: Answers

  private func answer(_ command: DECommand) throws(End) {
    let isOurs = command.id / 100 == version
    guard let name = DECommandNumber(rawValue: command.id % 100) else {
      return try refuse(command, "unknown command \(command.id)")
    }
    // Clients begin with a version of their own, and ask for the server's by its software.
    let isForAll = !settings.isStrict && (name == .listCameras || name == .getProperty)
    guard isOurs || isForAll else {
      if settings.hangsUp { throw End() }
      return try refuse(command, "command version \(command.id / 100) is not known")
    }
    acquisition.settle()
    let label = command.values.first?.text ?? ""
    switch name {
    case .listCameras: try acknowledge(command, [.text(settings.camera)])
    case .listProperties: try acknowledge(command, properties.entries.map { .text($0.name) })
    case .listAllowedValues:
      guard let values = properties.allowedValues(label) else {
        return try refuse(command, "Unknown property \(label)")
      }
      try acknowledge(command, values)
    case .getProperty:
      properties.setStatus(acquiring: acquisition.isRunning)
      guard let value = properties[label] else { return try refuse(command, "Unknown property \(label)") }
      try acknowledge(command, [value])
    case .setProperty:
      guard command.values.count == 2 else { return try refuse(command, "SET_PROPERTY needs a name and a value") }
      if let problem = properties.set(label, command.values[1]) { return try refuse(command, problem) }
      try acknowledge(command)
    case .stopAcquisition:
      acquisition.stop()
      try acknowledge(command)
    case .startAcquisition: try start(command)
    case .getMovieBufferInfo: try acknowledge(command, movieBufferInfo)
    case .getMovieBuffer: try sendMovieBuffer(command)
    case .getResult: try sendResult(command)
    case .setClientReadOnly: try acknowledge(command)
    case .getClientReadOnly: try acknowledge(command, [.boolean(false)])
    }
  }

  private func start(_ command: DECommand) throws(End) {
    guard command.values.count >= 2, let count = command.values[0].integer, let movie = command.values[1].boolean else {
      return try refuse(command, "START_ACQUISITION needs a number of acquisitions and whether to keep a movie")
    }
    do throws(TwinCameraError) {
      try acquisition.start(
        rate: properties.number(DEProperties.rate), seconds: properties.number(DEProperties.exposure),
        acquisitions: count, movie: movie)
    } catch { return try refuse(command, error.description) }
    try acknowledge(command)
  }

  func acknowledge(_ command: DECommand, _ values: [DEValue] = []) throws(End) {
    var packet = DEPacket(.acknowledge)
    packet.acknowledges = [DEAcknowledge(id: command.id, values: values)]
    try send(packet.framed)
  }

  func refuse(_ command: DECommand, _ reason: String) throws(End) {
    var packet = DEPacket(.acknowledge)
    packet.acknowledges = [DEAcknowledge(id: command.id, error: reason)]
    try send(packet.framed)
  }

  func send(_ bytes: [UInt8]) throws(End) {
    do throws(LinuxError) { try stream.write(bytes, within: Self.patience) } catch { throw End() }
  }

  func send(_ bytes: UnsafeRawBufferPointer) throws(End) {
    do throws(LinuxError) { unsafe try stream.write(bytes, within: Self.patience) } catch { throw End() }
  }
}
