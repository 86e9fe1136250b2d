import FrameRing

/// What can be a time on a camera's clock, or the length of an exposure: 0 … 2⁶¹ ns, 73 years. Whatever is within may
/// be added, subtracted and fitted without overflow; checked where stamps come in, relied upon everywhere else.
enum Stamps {
  static let plausible: ClosedRange<Int64> = 0...(1 << 61)
}

extension FrameHeader {
  /// Takes stamps that cannot be out: the pixels are good, and the frame is placed by its arrival.
  mutating func dropImplausibleStamps() {
    let isPlausible =
      Stamps.plausible.contains(deviceNanoseconds) && Stamps.plausible.contains(exposureNanoseconds)
    guard !isPlausible else { return }
    flags.insert(.noDeviceTime)
    deviceNanoseconds = 0
    if !Stamps.plausible.contains(exposureNanoseconds) { exposureNanoseconds = 0 }
  }
}
