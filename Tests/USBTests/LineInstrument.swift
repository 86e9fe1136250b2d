import EmulatedUSB
import Linux
import Quantities
import TwinBench
import USB

/// Answers each line with "=" and the same line, with CR and XON strewn in.
final class LineInstrument: ByteStreamInstrument {
  var received: [UInt8] = []
  var outgoing: [UInt8] = []
  var lines: [(dtr: Bool, rts: Bool)] = []
  var losses = 0
  private var partial: [UInt8] = []

  func receive(_ bytes: [UInt8], at now: MonotonicTime) {
    received += bytes
    for byte in bytes {
      partial.append(byte)
      guard byte == 10 else { continue }
      outgoing += [0x11, UInt8(ascii: "=")] + partial.dropLast() + [13, 10]
      partial = []
    }
  }
  func transmit(_ most: Int, at now: MonotonicTime) -> [UInt8] {
    let bytes = Array(outgoing.prefix(most))
    outgoing.removeFirst(bytes.count)
    return bytes
  }
  func lineStateChanged(dtr: Bool, rts: Bool, at now: MonotonicTime) { lines.append((dtr, rts)) }
  func usbLost(at now: MonotonicTime) {
    losses += 1
    partial = []
  }
  func tick(_ now: MonotonicTime) {}
}

/// A `LineInstrument` behind either kind of serial line, on a bus in process.
final class LineBench: Sendable {
  nonisolated(unsafe) let instrument = LineInstrument()
  let device: EmulatedUSBDevice
  let bus: InProcessBus
  let kind: SerialKind
  nonisolated(unsafe) let ftdi: FTDIFunction?
  nonisolated(unsafe) let cdc: CDCACMFunction?

  init(
    _ kind: SerialKind, packetSize: Int = 64, strictness: CDCACMFunction.Strictness = .complete, patience: Double = 1
  ) {
    self.kind = kind
    var identity = USBIdentity(
      vendor: 0x300A, product: 0x0000, manufacturerName: "Maker", productName: "Line", serial: "L1")
    identity.maximumPacket = packetSize
    switch kind {
    case .cdcACM:
      let function = CDCACMFunction(identity, strictness: strictness, instrument: instrument, clock: { .now })
      cdc = function
      ftdi = nil
      device = EmulatedUSBDevice(function)
    case .ftdi:
      let function = FTDIFunction(identity, instrument: instrument, clock: { .now })
      cdc = nil
      ftdi = function
      device = EmulatedUSBDevice(function)
    }
    bus = InProcessBus(devices: [device], patience: patience)
  }

  deinit { bus.end() }

  func open(baud: Int = 230_400, on other: (any USBBus)? = nil) throws -> SerialConnection {
    try SerialConnection.open(
      USBMatch(vendor: 0x300A, product: 0x0000), kind, baud: baud, on: other ?? bus, name: "line")
  }
}
