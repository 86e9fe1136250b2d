import CLinux
import Glibc
package import Quantities

private func read(_ clock: clockid_t) -> Int64 {
  var t = timespec()
  unsafe clock_gettime(clock, &t)
  return Int64(t.tv_sec) * 1_000_000_000 + Int64(t.tv_nsec)
}

extension MonotonicTime {
  /// The present instant; of the thread's `SimulatedClock` where it has one.
  package static var now: MonotonicTime {
    SimulatedClock.current?.now ?? MonotonicTime(nanoseconds: read(CLOCK_MONOTONIC_RAW))
  }
}

extension HostClockReading {
  /// Reads the three clocks within a microsecond or so of each other.
  package static var now: HostClockReading {
    let before = read(CLOCK_MONOTONIC_RAW)
    let monotonic = read(CLOCK_MONOTONIC)
    let unix = read(CLOCK_REALTIME)
    let after = read(CLOCK_MONOTONIC_RAW)
    return HostClockReading(
      raw: MonotonicTime(nanoseconds: before + (after - before) / 2), monotonicNanoseconds: monotonic,
      unixNanoseconds: unix)
  }
}

/// Blocks the calling thread. Only threads of our own sleep, never a cooperative pool.
package func sleepThread(for span: Seconds) {
  guard span.value > 0 else { return }
  if let clock = SimulatedClock.current { return clock.advance(by: span) }
  let end = read(CLOCK_MONOTONIC) + span.nanoseconds
  while clinux_sleep_until_monotonic(end) == EINTR {}
}

/// CPU time this process has used so far.
package func processCPUTime() -> Seconds { Seconds(nanoseconds: clinux_process_cpu_ns()) }
