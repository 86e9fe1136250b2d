/// An instant of the one time base: `CLOCK_MONOTONIC_RAW`, integer nanoseconds since boot, never slewed (design §4).
package struct MonotonicTime: Comparable, Hashable, Sendable {
  package var nanoseconds: Int64
  package init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  package static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }
  package static func + (a: Self, span: Seconds) -> Self { Self(nanoseconds: a.nanoseconds + span.nanoseconds) }
  package static func - (a: Self, span: Seconds) -> Self { Self(nanoseconds: a.nanoseconds - span.nanoseconds) }
  package static func - (a: Self, b: Self) -> Seconds { Seconds(nanoseconds: a.nanoseconds - b.nanoseconds) }
}

/// The three clocks of the host read together, so that anybody can go from the time base to wall time.
package struct HostClockReading: Equatable, Sendable {
  /// `CLOCK_MONOTONIC_RAW`, ns.
  package var raw: MonotonicTime
  /// `CLOCK_MONOTONIC`, ns.
  package var monotonicNanoseconds: Int64
  /// `CLOCK_REALTIME`, ns since 1970-01-01T00:00:00Z.
  package var unixNanoseconds: Int64

  package init(raw: MonotonicTime, monotonicNanoseconds: Int64, unixNanoseconds: Int64) {
    self.raw = raw
    self.monotonicNanoseconds = monotonicNanoseconds
    self.unixNanoseconds = unixNanoseconds
  }
}
