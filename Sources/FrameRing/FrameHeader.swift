package import Pixels
package import Quantities

/// What is special about a frame (CFrameRing.h).
package struct FrameFlags: OptionSet, Hashable, Sendable {
  package let rawValue: UInt32
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The source sent this frame number before.
  package static let repeated = FrameFlags(rawValue: 1)
  /// The source gave no time stamp.
  package static let noDeviceTime = FrameFlags(rawValue: 2)
  /// A marker without pixels: the series is over, `frameNumber` frames were triggered.
  package static let seriesEnd = FrameFlags(rawValue: 4)
  /// In files: a binned frame, written in place of the whole one.
  package static let preview = FrameFlags(rawValue: 16)
  /// In files: written by looking back.
  package static let kept = FrameFlags(rawValue: 32)
  /// Never stored: the fields of a slot written by somebody else contradict each other, and no pixels are given.
  package static let malformed = FrameFlags(rawValue: 1 << 31)
}

/// What is known of one frame, beside its pixels. Pixels are row-major without padding.
package struct FrameHeader: Equatable, Sendable {
  /// The camera's own count in its series, from 0.
  package var frameNumber: UInt64
  /// Start of the exposure on the camera's clock, ns.
  package var deviceNanoseconds: Int64
  package var exposureNanoseconds: Int64
  /// When the frame was complete here.
  package var arrival: MonotonicTime
  /// The camera's series number.
  package var series: UInt64
  /// Frames refused because the ring was full since the slot before this one. Set by the ring.
  package var refusedBefore: UInt64
  /// Frames that arrived but could not be used since the slot before this one. Set by the ring.
  package var unusableBefore: UInt64
  package var flags: FrameFlags
  package var pixelType: PixelType
  package var width: Int
  package var height: Int
  /// Index of the protocol step that asked for the frame; `.max` when none.
  package var step: UInt32
  /// CRC-32C of the pixel bytes, or 0 when not computed.
  package var pixelCRC: UInt32
  /// Of the pixels; nil when not computed.
  package var statistics: FrameStatistics?

  package init(
    frameNumber: UInt64 = 0, deviceNanoseconds: Int64 = 0, exposureNanoseconds: Int64 = 0,
    arrival: MonotonicTime = MonotonicTime(nanoseconds: 0), series: UInt64 = 0, refusedBefore: UInt64 = 0,
    unusableBefore: UInt64 = 0, flags: FrameFlags = [], pixelType: PixelType = .u16, width: Int = 0, height: Int = 0,
    step: UInt32 = .max, pixelCRC: UInt32 = 0, statistics: FrameStatistics? = nil
  ) {
    self.frameNumber = frameNumber
    self.deviceNanoseconds = deviceNanoseconds
    self.exposureNanoseconds = exposureNanoseconds
    self.arrival = arrival
    self.series = series
    self.refusedBefore = refusedBefore
    self.unusableBefore = unusableBefore
    self.flags = flags
    self.pixelType = pixelType
    self.width = width
    self.height = height
    self.step = step
    self.pixelCRC = pixelCRC
    self.statistics = statistics
  }

  /// What the ring's `meter` found of the pixels.
  package mutating func take(_ found: (crc: UInt32, statistics: FrameStatistics)) {
    pixelCRC = found.crc
    statistics = found.statistics
  }

  /// Bytes of the pixels.
  package var bytes: Int { width * height * pixelType.bytesPerPixel }
}
