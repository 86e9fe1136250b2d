import Alignment
package import BiasProtocol
import Linux
package import Quantities
package import RunStore

/// What reaches the run's thread from the others.
enum RunSignal: Sendable {
  case samples([Sample])
  /// The potentiostat's thread has opened the output already.
  case tripped(String)
  case failed(String)
  /// An instrument is unplugged; it may come back.
  case lost(String)
  case stop(reason: String)
  case pause
  case resume
}

/// Frames of a run so far, over all series.
package struct FrameCounts: Hashable, Sendable {
  package var triggered: UInt64 = 0
  package var received: UInt64 = 0
  package var written: UInt64 = 0
  package var lostAtSource: UInt64 = 0
  /// Left out by choice, and in sums beyond the one frame that each sum is.
  package var skipped: UInt64 = 0
  package var merged: UInt64 = 0
  package var dropped: [String: UInt64] = [:]
  package init() {}

  mutating func add(_ other: FrameCounts) {
    triggered += other.triggered
    received += other.received
    written += other.written
    lostAtSource += other.lostAtSource
    skipped += other.skipped
    merged += other.merged
    dropped.merge(other.dropped, uniquingKeysWith: +)
  }

  package var lost: UInt64 { lostAtSource + dropped.values.reduce(0, +) }
}

/// Where a run stands, for `status`.
package struct RunProgress: Sendable {
  package enum State: String, Sendable { case starting, running, paused, waiting, stopping }

  package var state = State.starting
  package var step = 0
  package var sentence = "getting ready: zero, leakage, contacts"
  package var cycle = 0
  package var stepStarted: MonotonicTime
  package var stepBound = Seconds(0)
  package var charge = Coulombs.zero
  package var voltage: Volts?
  package var current: Amperes?
  package var samples: UInt64 = 0
  package var framesByCamera: [RunCamera: FrameCounts] = [:]
  /// While the run waits for an instrument.
  package var waiting: Waiting?

  /// Of all cameras together.
  package var frames: FrameCounts {
    framesByCamera.values.reduce(into: FrameCounts()) { $0.add($1) }
  }

  package struct Waiting: Sendable {
    package var reason: String
    package var since: MonotonicTime
    package var longest: Seconds
  }
}

/// A run that is going on: what several threads know of it.
package final class ActiveRun: Sendable {
  package let id: String
  package let name: String
  package let directory: RunDirectory
  package let compiled: CompiledProtocol
  package let planned: Seconds
  package let started: MonotonicTime
  package let startedUnixNanoseconds: Int64

  let signals = BoundedQueue<RunSignal>(limit: 16384)
  package let writer: RunWriter
  private let monitor: Monitor<RunProgress>
  private let charge: Monitor<ChargeCounter>
  private let stepOfSamples = Monitor(0)
  private let isAfterHole = Monitor(false)
  private let last = Monitor<LastReading?>(nil)

  package init(
    id: String, name: String, directory: RunDirectory, compiled: CompiledProtocol, planned: Seconds,
    at clock: HostClockReading,
    writer: RunWriter
  ) {
    self.id = id
    self.name = name
    self.directory = directory
    self.compiled = compiled
    self.planned = planned
    started = clock.raw
    startedUnixNanoseconds = clock.unixNanoseconds
    self.writer = writer
    monitor = Monitor(RunProgress(stepStarted: clock.raw))
    charge = Monitor(ChargeCounter(samplePeriod: compiled.samplePeriod))
  }

  package var progress: RunProgress { monitor.read { $0 } }
  func update(_ change: (inout RunProgress) -> Void) { monitor.update { change(&$0) } }
  /// Samples that come from now on belong to this step.
  func setStepOfSamples(_ step: Int) { stepOfSamples.update { $0 = step } }
  /// Samples are missing before the next one.
  func markHole() { isAfterHole.update { $0 = true } }
  /// Up to where the current is known; nil before the first sample.
  var lastReading: LastReading? { last.read { $0 } }
  var holes: (count: Int, time: Seconds) { charge.read { ($0.holes, $0.holeTime) } }

  /// Takes in samples on the potentiostat's thread: integrates the charge, stores, and tells the run's thread.
  /// - Parameter clock: of the instrument.
  /// - Returns: the samples with the charge at each.
  func take(_ taken: [Sample], clock: ClockModel?) -> [StoredSample] {
    var samples = taken
    if !samples.isEmpty,
      isAfterHole.update({ isAfterHole in
        defer { isAfterHole = false }; return isAfterHole
      })
    {
      samples[0].flags.insert(.afterHole)
    }
    let step = stepOfSamples.read { $0 }
    let charged = charge.update { counter in
      samples.map { StoredSample($0, step: step, charge: counter.add($0)) }
    }
    monitor.update { progress in
      progress.samples += UInt64(samples.count)
      if let last = charged.last {
        progress.charge = last.charge
        progress.voltage = last.sample.voltage ?? progress.voltage
        // With the circuit open none is measured, and the one before is over.
        let isOpen = last.sample.flags.contains(.openCircuit)
        progress.current = last.sample.current ?? (isOpen ? nil : progress.current)
      }
    }
    if let known = samples.last(where: { $0.current != nil || $0.flags.contains(.openCircuit) }) {
      let reading = LastReading(
        end: min(known.centre(by: clock) + known.aperture * 0.5, known.arrival), current: known.current ?? .zero)
      last.update { $0 = reading }
    }
    writer.put(.samples(charged))
    signals.push(.samples(samples))
    return charged
  }
}
