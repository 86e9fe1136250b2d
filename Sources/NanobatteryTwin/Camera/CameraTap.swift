internal import FrameRing
internal import Linux
internal import Quantities

/// A wire format that frames of the twin's camera are sent in; all calls come from the tap's one thread.
protocol FrameWire: AnyObject, Sendable {
  /// Called often, so that clients can be taken in.
  func turn()
  func send(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer)
  /// Sends bytes that are no message.
  func sendGarbage(_ bytes: [UInt8])
  /// Ends the connection, as a cable that is pulled would.
  func breakOff()
  /// The series is over.
  func endSeries(_ exposures: UInt64)
}

/// The thread that takes frames out of the camera's ring, in the camera's own process, and gives them to a wire; with
/// the faults that only a stream can have.
final class CameraTap: Sendable {
  private static let look = Seconds(0.005)
  private static let garbageBytes = 1000

  private let camera: TwinCamera
  private let wire: any FrameWire
  private let isClosing = Monitor(false)
  private let thread = Monitor<NamedThread?>(nil)

  init(_ camera: TwinCamera, _ wire: any FrameWire) {
    self.camera = camera
    self.wire = wire
    thread.update { $0 = NamedThread("twin-cam-wire") { [self] in run() } }
  }

  func close() {
    isClosing.update { $0 = true }
    thread.update { running in
      running?.join()
      running = nil
    }
  }

  private func run() {
    let ring = camera.ring
    var cursor = ring.published
    // A frame that goes behind its successor.
    var held: (FrameHeader, [UInt8])?
    var random = SeededRandom(seed: camera.settings.seed, stream: 5)
    while !isClosing.read({ $0 }) {
      wire.turn()
      guard ring.waitForPublished(beyond: cursor, atMost: Self.look) else { continue }
      _ = unsafe ring.read(cursor) { frame, pixels in
        if frame.flags.contains(.seriesEnd) {
          release(&held)
          wire.endSeries(frame.frameNumber)
        } else if held == nil, camera.settings.faults.reorder?.strikes(frame.frameNumber) == true {
          held = unsafe (frame, Array(pixels))
        } else {
          unsafe pass(frame, pixels, &random)
          release(&held)
        }
      }
      ring.release(through: cursor)
      cursor += 1
    }
  }

  private func pass(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer, _ random: inout SeededRandom) {
    let faults = camera.settings.faults
    if faults.garbage?.strikes(frame.frameNumber) == true {
      wire.sendGarbage((0..<Self.garbageBytes).map { _ in UInt8(truncatingIfNeeded: random.next()) })
    }
    unsafe wire.send(frame, pixels)
    if faults.breakOff?.strikes(frame.frameNumber) == true { wire.breakOff() }
  }

  private func release(_ held: inout (FrameHeader, [UInt8])?) {
    guard let (frame, bytes) = held else { return }
    held = nil
    unsafe bytes.withUnsafeBytes { unsafe wire.send(frame, $0) }
  }
}

/// A frame that went out, for whoever compares.
package struct SentFrame: Equatable, Sendable {
  package var series: UInt64
  package var frame: UInt64
  /// Start of the exposure on the camera's clock, ns since it was switched on.
  package var deviceNanoseconds: Int64
  /// CRC-32C of the pixels as a receiver has them: little-endian, as wide as they were sent.
  package var pixelCRC: UInt32
}
