internal import Glibc
package import Quantities

/// What the twin's camera is.
package struct TwinCameraSettings: Sendable {
  package var width = 1024
  package var height = 1024
  /// Electrons per pixel and second in vacuum; each gives one count.
  package var dose = 1000.0
  /// Nothing is in the beam: every pixel sees vacuum.
  package var seesVacuum = false
  package var clock = DeviceClock(offset: Seconds(0), driftPPM: 0)
  package var seed: UInt64 = 1
  /// Frames that fit in the ring.
  package var slots = 32
  /// The ring's file; unlinked at the end.
  package var ringPath = "/dev/shm/insitu-twin-camera-\(getpid())"
  package var serial = "TWIN-CAM-1"
  package var faults = CameraFaults()

  package init() {}

  package static let model = "insitud twin camera"
  package static let clockMeaning = "start of exposure, camera clock, ns since power-up"
  /// Pixels per side.
  package static let largestSide = 8192
  /// ns between exposures.
  package static let shortestPeriod: Int64 = 10_000
  package static let longestPeriod: Int64 = 3600 * 1_000_000_000
  /// What is read out later than this after the exposure is lost: the camera's own memory is full.
  package static let readoutBacklog = Seconds(2)
}

/// Why the camera refused.
package struct TwinCameraError: Error, Equatable, CustomStringConvertible {
  package var description: String
  package init(_ description: String) { self.description = description }
}
