/// What an instrument says of a sample beside its numbers.
package struct SampleFlags: OptionSet, Hashable, Sendable {
  package let rawValue: UInt32
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  /// The source is at its compliance: the set point is not what the cell gets.
  package static let compliance = SampleFlags(rawValue: 1)
  /// The reading is beyond its range; the value is missing.
  package static let overflow = SampleFlags(rawValue: 2)
  /// Taken before the range or the set point had settled.
  package static let settling = SampleFlags(rawValue: 4)
  /// The source output was off.
  package static let outputOff = SampleFlags(rawValue: 8)
  /// Samples are missing between the one before and this one: nothing may be interpolated, and the charge that flowed
  /// meanwhile was not measured.
  package static let afterHole = SampleFlags(rawValue: 16)
  /// The instrument could not keep the sample period.
  package static let timingNotMet = SampleFlags(rawValue: 32)
  /// The reading uses so little of its range that a smaller one would be better.
  package static let underload = SampleFlags(rawValue: 64)
  /// The reading is near the end of its range.
  package static let overloadWarning = SampleFlags(rawValue: 128)
  /// The cell was open as asked for, or at a voltmeter alone: the voltage is that of the open circuit, and no current
  /// flowed.
  package static let openCircuit = SampleFlags(rawValue: 256)

  /// The instrument's own noise level, 0…15, in the four highest bits; 0 also where it gives none.
  package static func noise(level: Int) -> SampleFlags { SampleFlags(rawValue: UInt32(level & 15) << 28) }
  package var noiseLevel: Int { Int(rawValue >> 28) }
}

/// One simultaneous reading of voltage and current.
package struct Sample: Hashable, Sendable {
  /// Centre of the measuring aperture on the instrument's own clock, ns since that clock's epoch.
  package var deviceNanoseconds: Int64
  /// When the reading had arrived here.
  package var arrival: MonotonicTime
  /// Voltage of the working electrode against counter (or reference); nil when the instrument gave none.
  package var voltage: Volts?
  /// Current, positive when it charges the working electrode; nil when the instrument gave none.
  package var current: Amperes?
  /// The current range in use.
  package var range: Amperes
  /// Length of the aperture.
  package var aperture: Seconds
  package var flags: SampleFlags

  package init(
    deviceNanoseconds: Int64, arrival: MonotonicTime, voltage: Volts?, current: Amperes?, range: Amperes,
    aperture: Seconds, flags: SampleFlags
  ) {
    self.deviceNanoseconds = deviceNanoseconds
    self.arrival = arrival
    self.voltage = voltage
    self.current = current
    self.range = range
    self.aperture = aperture
    self.flags = flags
  }
}

/// One comparison of a device's clock with the host's: at device time `device` the host's clock showed something
/// not before `earliest` and not after `latest` (a hard bound; `clocks.md` §3). Either side may be missing.
package struct ClockPair: Hashable, Sendable {
  /// ns since the device clock's epoch.
  package var deviceNanoseconds: Int64
  package var earliest: MonotonicTime?
  package var latest: MonotonicTime?

  package init(deviceNanoseconds: Int64, earliest: MonotonicTime?, latest: MonotonicTime?) {
    self.deviceNanoseconds = deviceNanoseconds
    self.earliest = earliest
    self.latest = latest
  }
}
