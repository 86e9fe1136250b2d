import Linux
package import Quantities

/// Which chip or class makes the serial line.
package enum SerialKind: Hashable, Sendable { case cdcACM, ftdi }

/// A byte stream to an instrument that speaks in lines, over USB. Owned by the instrument's thread.
///
/// What comes is cut into lines and stamped on the bus's own thread, so that the arrival is that of the transfer.
package final class SerialConnection {
  package let name: String

  package typealias Line = SerialInput.Line

  /// IN transfers kept posted (usb-serial.md §1: at least four).
  private static let transfers = 4
  /// Packets that one IN transfer has room for.
  private static let packetsPerTransfer = 8
  /// STALLs on Bulk-IN that are cleared before the line is given up.
  private static let mostStalls = 8
  /// The speed at which many microcontrollers reboot into their boot loader when DTR drops (usb-serial.md §1).
  private static let touchBaud = 1200

  private let transport: any USBTransport
  private let line: any SerialLine
  private let bulkOut: USBInterface.Endpoint
  private let bulkIn: USBInterface.Endpoint
  private let input: Monitor<SerialInput>
  private var stallsCleared = 0

  /// Opens the line and raises DTR and RTS. Nothing is sent to the instrument.
  package static func open(_ wanted: USBMatch, _ kind: SerialKind, baud: Int, on bus: any USBBus, name: String)
    throws(InstrumentError) -> SerialConnection
  {
    guard baud > 0, baud != touchBaud else {
      throw .unable(
        device: name,
        reason: "a serial line at \(baud) baud is never opened: 1200 baud means “reboot into the boot loader” to many"
          + " instruments; give the instrument's own speed")
    }
    do throws(USBError) {
      let transport = try bus.open(wanted, kind == .cdcACM ? .cdcACM : .ftdi(port: 0), name: name)
      do throws(USBError) { return try SerialConnection(transport, kind, baud: baud, name: name) } catch {
        transport.close()
        throw error
      }
    } catch { throw .wire(error) }
  }

  /// Takes over a claimed interface of that kind.
  package init(_ transport: any USBTransport, _ kind: SerialKind, baud: Int, name: String) throws(USBError) {
    guard let bulkOut = transport.interface.bulkOut, let bulkIn = transport.interface.bulkIn else {
      throw .malformed(device: name, reason: "its serial interface lacks a bulk endpoint")
    }
    self.transport = transport
    self.name = name
    self.bulkOut = bulkOut
    self.bulkIn = bulkIn
    switch kind {
    case .cdcACM:
      line = CDCACMLine(transport)
      input = Monitor(SerialInput())
    case .ftdi:
      line = FTDILine(transport)
      input = Monitor(SerialInput(statusBytesInPacketsOf: bulkIn.packetSize))
    }
    try line.open(baud: baud)
    try listen()
    try line.ready(input)
  }

  deinit { transport.close() }

  package var identity: USBDeviceFacts { transport.device }

  /// Bytes lost, lines too long or damaged, since it was opened.
  package var losses: Int { input.read { $0.losses } }

  private func listen() throws(USBError) {
    try transport.listen(
      to: bulkIn.address, transfers: Self.transfers, most: bulkIn.packetSize * Self.packetsPerTransfer
    ) { [input] result, arrival in
      input.update { $0.take(result, at: arrival) }
    }
  }

  package func write(_ bytes: [UInt8], within limit: Seconds = Seconds(2)) throws(InstrumentError) {
    do throws(USBError) {
      // A message that fills its last packet is followed by an empty one, so that the firmware looks at it
      // (usb-serial.md §1); FTDI chips need none.
      try transport.send(bytes, to: bulkOut.address, endingWithZeroPacket: line.endsWithZeroPacket, within: limit)
    } catch {
      // How much of it was taken nobody knows: it is not sent again.
      if case .stalled(_, let endpoint) = error { try? transport.clearHalt(endpoint) }
      throw .wire(error)
    }
  }

  /// Complete lines that have come since the last call, without their line feeds; XON/XOFF and CR are taken out.
  /// - Throws: when the device is gone; once when bytes were lost, after the lines before the loss.
  package func lines() throws(InstrumentError) -> [Line] {
    var lines: [Line] = []
    while true {
      switch input.update({ $0.next(afterLines: !lines.isEmpty) }) {
      case .line(let line): lines.append(line)
      case .loss(let reason): throw .wire(.malformed(device: name, reason: reason))
      case .ended(let error):
        if !lines.isEmpty { return lines }
        try resume(after: error)
      case nil: return lines
      }
    }
  }

  /// The next line, waiting at most so long; nil when none came.
  /// - Throws: as `lines()`.
  package func line(within limit: Seconds) throws(InstrumentError) -> Line? {
    let end = MonotonicTime.now + limit
    while true {
      let left = max(end - .now, Seconds(0))
      switch input.wait(atMost: left, for: { $0.next(afterLines: false) }) {
      case .line(let line): return line
      case .loss(let reason): throw .wire(.malformed(device: name, reason: reason))
      case .ended(let error): try resume(after: error)
      case nil: return nil
      }
    }
  }

  /// Forgets what has come and was not read, the beginning of a line too.
  package func discardInput() { input.update { $0.discard() } }

  /// Drops DTR and RTS and gives the device back.
  package func close() {
    line.close()
    transport.close()
  }

  /// A STALL on Bulk-IN is cleared and listening goes on; everything else is the end.
  private func resume(after error: USBError) throws(InstrumentError) {
    guard case .stalled = error, stallsCleared < Self.mostStalls else { throw .wire(error) }
    stallsCleared += 1
    do throws(USBError) {
      try transport.clearHalt(bulkIn.address)
      input.update { $0.resume() }
      try listen()
    } catch { throw .wire(error) }
  }
}

/// How a kind of serial line is set up and given up.
protocol SerialLine {
  var endsWithZeroPacket: Bool { get }
  /// Before anything is listened to.
  func open(baud: Int) throws(USBError)
  /// While the IN transfers are posted: the instrument may send from now on.
  func ready(_ input: Monitor<SerialInput>) throws(USBError)
  func close()
}
