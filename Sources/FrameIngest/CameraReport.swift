package import Quantities

/// What the camera's thread is asked to do.
package enum CameraCommand: Equatable, Sendable {
  /// Begins a series. While one runs it is ended first; a camera that cannot be commanded only takes the step.
  ///
  /// A series number is used once: after a reconnection, or when it was used before, the next free number is taken,
  /// and `CameraReport.seriesStarted` says which.
  case record(ExposureRequest, step: UInt32)
  /// Frames from now on belong to another step.
  case setStep(UInt32)
  /// Ends the series; what is in flight is still recorded. Answered by `CameraReport.stopped`.
  case stop
  /// Stops, lets go of the camera, and ends the thread.
  case close
}

/// What the camera's thread tells. Never one per frame.
package enum CameraReport: Equatable, Sendable {
  case connected(CameraIdentity)
  /// The camera told more about itself than it did at first.
  case identified(CameraIdentity)
  /// Told once; then it is tried again until it answers.
  case disconnected(CameraError)
  /// The camera said no to a series; it will not be tried again.
  case refused(series: UInt64, CameraError)
  case clockPair(ClockPair)
  /// Every few seconds at most.
  case readings([CameraReading])
  case seriesStarted(series: UInt64)
  /// All its frames are in the ring.
  /// - Parameters:
  ///   - triggered: exposures begun, as the camera said; nil when it did not.
  ///   - received: all that came: in the ring, refused by it, and unusable.
  ///   - refusedByRing: came while the ring was full.
  ///   - unusable: came and could not be used, by cause.
  case seriesEnded(
    series: UInt64, triggered: UInt64?, received: UInt64, refusedByRing: UInt64, unusable: [String: UInt64])
  /// Asked to stop, it has: nothing more comes into the ring until the next `record`.
  case stopped
  case warning(String)
}
