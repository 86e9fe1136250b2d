package import Quantities

/// What the emulated DE-Server is.
package struct DEServerSettings: Sendable {
  /// `HOST:PORT` of TCP and UDP; port 0 takes any that is free.
  package var address = "127.0.0.1:13240"
  package var camera = "Twin DE"
  package var serial = "TWIN-DE-1"
  /// The command version follows from it.
  package var software = "2.7.4.1000"
  /// Requests of any other command version are refused, those who ask for the version too.
  package var isStrict = false
  /// The connection is closed instead.
  package var hangsUp = false
  package var framesPerBuffer = 4
  /// Longest acquisition, seconds.
  package var longestExposure = 3600.0
  /// Datagrams are not answered.
  package var isDeafToDatagrams = false
  package var faults = DEServerFaults()
  /// Called for each frame as it is sent, with its number and its 16-bit pixels.
  package var watch: (@Sendable (UInt64, [UInt8]) -> Void)?

  package init() {}
}

/// What goes wrong between the camera and the wire, by plan; numbers count movie buffers from 0.
package struct DEServerFaults: Sendable {
  /// The frames of these come in reverse order.
  package var reorder: CameraFaults.Pattern?
  /// The indices of the frames of these are nonsense.
  package var damageIndex: CameraFaults.Pattern?
  /// These are said to have failed, and are lost.
  package var fail: CameraFaults.Pattern?
  /// In place of this one bytes come that are no packet.
  package var garbage: UInt64?
  /// The connection is closed in the middle of this one.
  package var breakOff: UInt64?
  /// In the middle of this one nothing comes for a while.
  package var pause: (buffer: UInt64, span: Seconds)?
  /// These are said to be a byte shorter than their frames.
  package var wrongSize: CameraFaults.Pattern?

  package init() {}

  /// What the configuration says of a camera, by movie buffers in place of frames. What ends a connection does so once.
  package init(_ faults: CameraFaults) {
    reorder = faults.reorder
    damageIndex = faults.damage
    garbage = faults.garbage.map(\.first)
    breakOff = faults.breakOff.map(\.first)
    pause = faults.absence.map { (buffer: $0.frame, span: $0.span) }
  }
}
