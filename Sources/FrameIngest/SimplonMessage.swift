import FrameRing
import Pixels
import Quantities

/// What is known of the message that is being received, part after part.
struct SimplonMessage {
  enum Kind { case unknown, header, image, other }

  var arrival = MonotonicTime(nanoseconds: 0)
  var step: UInt32 = .max
  var kind = Kind.unknown
  var parts = 0
  var series: UInt64 = 0
  var frame: UInt64 = 0
  var image: SimplonImageDescription?
  /// The pixels are in the reserved slot, all of them.
  var hasPixels = false
  var times: SimplonTimes?
  /// Why it is not recorded, known before its end.
  var problem: CameraEvent?
  var fault: DecodeError?

  init() {}

  init(arrival: MonotonicTime, step: UInt32) {
    self.arrival = arrival
    self.step = step
  }

  /// The slot's header, once the pixels are there; without what the meter found of them.
  var frameHeader: FrameHeader? {
    guard let image, hasPixels else { return nil }
    return FrameHeader(
      frameNumber: frame, deviceNanoseconds: times?.start ?? 0, exposureNanoseconds: times?.exposure ?? 0,
      arrival: arrival, series: series, flags: times?.start == nil ? .noDeviceTime : [],
      pixelType: image.pixelType, width: image.width, height: image.height, step: step)
  }
}
