/// Where the exposures of a series lie on the camera's own clock, ns: exposure k begins at `first` + k·`period`.
struct ExposureSchedule: Equatable, Sendable {
  var series: UInt64
  var first: Int64
  var period: Int64
  var exposure: Int64

  func start(_ frame: UInt64) -> Int64 { first + Int64(frame) * period }
  func stop(_ frame: UInt64) -> Int64 { start(frame) + exposure }

  /// Exposures that have begun at an instant of the camera's clock.
  func begun(at device: Int64) -> UInt64 { device < first ? 0 : UInt64((device - first) / period) + 1 }
}
