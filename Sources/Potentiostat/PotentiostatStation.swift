package import Linux
package import Quantities
package import USB

/// What the potentiostat's thread tells the others.
package enum PotentiostatReport: Sendable {
  case samples([Sample], [ClockPair])
  /// A sample was beyond a limit; the output is open already.
  case tripped(String)
  /// The instrument is gone or does not obey; what the output does is not known.
  case failed(String)
  /// The instrument is unplugged; what its output does is not known, and opening it again may help.
  case lost(String)
  /// Entries of the instrument's error queue, and what its driver noted.
  case notes([String])
}

/// The potentiostat as its thread owns it: connection, limits on every sample, and the zero of its current reading.
package final class PotentiostatStation {
  /// Readings come once a period; one may be lost on its way, and none comes where a script ends before its next reading
  /// would have been due and the next script begins. More stay out only when something is wrong.
  static let silentPeriods = 2.5
  /// What a bias, a script or a busy computer may take besides.
  private static let silence = Seconds(1)

  let settings: PotentiostatSettings
  private let bus: any USBBus
  private let report: @Sendable (PotentiostatReport) -> Void
  var instrument: (any PotentiostatDriver)?
  private var limits: CellLimits?
  var period = Seconds(0.1)
  /// By range: what the instrument read with the contacts open. Subtracted from every current reading.
  var zeros: [Amperes: Amperes] = [:]
  /// A run has used the instrument: what its output does is ours to answer for.
  package private(set) var wasPrepared = false
  /// When a reading came last.
  var lastRow = MonotonicTime(nanoseconds: 0)
  private var lastVoltage: Volts?
  private var isSampling = false
  /// An answer or a reading stayed out: a transfer that hangs for ever may be in the way of all that follow it, and only
  /// opening the instrument anew takes it back.
  private var isDoubtful = false
  /// While it is set nothing switches the output on: whoever opened it because of danger is not overruled by work that
  /// was already under way.
  let latch: SafetyLatch

  package init(
    _ settings: PotentiostatSettings, bus: any USBBus, latch: SafetyLatch = SafetyLatch(),
    report: @escaping @Sendable (PotentiostatReport) -> Void
  ) {
    self.latch = latch
    self.settings = settings
    self.bus = bus
    self.report = report
  }

  /// How long after one poll the next: a little less than the sample period, and not in step with it, so that the
  /// polls fall on every phase of the sampling and bound the instrument's clock tightly (clocks.md §3).
  package var pollInterval: Seconds {
    isSampling ? Seconds(min(0.05, max(0.002, period.value * 0.617))) : Seconds(0.25)
  }

  package var isConnected: Bool { instrument != nil }
  package var identity: InstrumentIdentity? { instrument?.identity }
  package var range: RangeFacts? { instrument?.range }
  package var voltageAccuracy: Volts { instrument?.voltageAccuracy ?? .zero }
  package var ranges: [RangeFacts] { instrument?.ranges ?? [] }
  /// The range that a held current is measured on when that one was asked for.
  package func rangeHolding(_ currentRange: Amperes) -> Amperes {
    instrument?.rangeHolding(currentRange) ?? currentRange
  }
  package var abilities: PotentiostatAbilities { instrument?.abilities ?? PotentiostatAbilities() }
  package var shortestPeriod: Seconds { instrument?.shortestPeriod ?? .zero }

  /// Opens the instrument when it is not open; opens it anew when it did not answer before.
  package func connect() throws(InstrumentError) -> InstrumentIdentity {
    if let instrument, !isDoubtful { return instrument.identity }
    close()
    guard let model = PotentiostatModels.named(settings.model) else {
      throw .unexpected(device: settings.model, command: "configuration", answer: "no such model")
    }
    let made = try model.open(bus, settings, latch: latch)
    do throws(InstrumentError) {
      // Whoever wanted the cell safe while it could not be reached still wants it.
      if latch.isSet { try made.open() }
      instrument = made
      return made.identity
    } catch {
      made.close()
      throw error
    }
  }

  /// Output off at high impedance, ranges and limits set; forgets the zeros.
  package func prepare(_ acquisition: Acquisition) throws(InstrumentError) {
    try refuseWhenHeld()
    isSampling = false
    limits = acquisition.limits
    period = acquisition.period
    zeros = [:]
    lastVoltage = nil
    wasPrepared = true
    try with { instrument throws(InstrumentError) in try instrument.prepare(acquisition) }
  }

  /// Puts a bias on the cell. What was measured under the one before is judged first: beyond a limit nothing follows.
  /// - Parameter beforeNew: called when all samples of the bias before have been reported.
  package func apply(_ bias: Bias, beforeNew: () -> Void = {}) throws(InstrumentError) {
    try refuseWhenHeld()
    isSampling = false
    take(try with { instrument throws(InstrumentError) in try instrument.finish() })
    try refuseWhenHeld()
    beforeNew()
    let (present, limits) = (lastVoltage, limits)
    let ramp = try with { instrument throws(InstrumentError) in
      try instrument.begin(bias, present: present) { [self] sample in
        !latch.isSet && limits?.violation(by: corrected(sample)) == nil
      }
    }
    isSampling = bias != .open
    lastRow = .now
    take(ramp)
    if latch.isSet {
      isSampling = false
      try with { instrument throws(InstrumentError) in try instrument.open() }
      try refuseWhenHeld()
    }
  }

  /// Changes how often is measured; with the output open.
  package func setPeriod(_ period: Seconds) throws(InstrumentError) {
    self.period = period
    try with { instrument throws(InstrumentError) in try instrument.setPeriod(period) }
  }

  /// Changes the current range; the output is open until the next bias.
  package func setRange(_ currentRange: Amperes) throws(InstrumentError) {
    isSampling = false
    take(try with { instrument throws(InstrumentError) in try instrument.finish() })
    try with { instrument throws(InstrumentError) in try instrument.setRange(currentRange) }
  }

  /// Output off at high impedance, whatever else is going on, and held there until the latch is released.
  /// - Parameter mustAnswer: an instrument that cannot be reached is an error even if no run has used it.
  package func makeSafe(mustAnswer: Bool = false) throws(InstrumentError) {
    isSampling = false
    latch.set()
    guard let instrument else {
      // Never used: nothing of ours is on. Used and gone: nobody knows.
      guard wasPrepared || mustAnswer else { return }
      throw .wire(.disconnected(device: settings.model))
    }
    do throws(InstrumentError) { try instrument.open() } catch {
      lose(error)
      throw error
    }
    // The output is open, which is what was asked for; that the rest did not come is remembered.
    do throws(InstrumentError) { pass(try instrument.poll()) } catch { lose(error) }
  }

  /// Empties the instrument's error queue; what was in it is reported too, for nobody can ask for it again.
  @discardableResult
  package func errors() throws(InstrumentError) -> [String] {
    let errors = try with { instrument throws(InstrumentError) in try instrument.errors() }
    if !errors.isEmpty { report(.notes(errors)) }
    return errors
  }

  /// Fetches what was measured and holds the limits. An instrument that no longer measures is a failure: limits that see
  /// no samples hold nothing.
  package func tick() {
    guard isSampling else { return }
    guard let instrument else { return fail("\(settings.model) is gone", isLost: true) }
    do throws(InstrumentError) {
      let acquired = try instrument.poll()
      if !acquired.samples.isEmpty { lastRow = .now }
      take(acquired)
      let silence = MonotonicTime.now - lastRow
      if isSampling, silence > Self.silence + cadence * Self.silentPeriods {
        isDoubtful = true
        fail("\(settings.model) gave no reading for \(silence); its output is opened")
      }
    } catch {
      lose(error)
      fail("\(error)", isLost: error.isGone)
    }
  }

  /// How often readings come: a period that the instrument cannot keep up is as long as its shortest.
  var cadence: Seconds { max(period, shortestPeriod) }

  /// Finds out whether the instrument is still there, and reports what it noted: when a device like it was unplugged, and
  /// when a run has ended.
  package func checkConnection() {
    guard instrument != nil, !isSampling else { return }
    do throws(InstrumentError) { try errors() } catch {
      if error.isGone { report(.lost("\(error)")) }
    }
  }

  package func close() {
    instrument?.close()
    instrument = nil
    isDoubtful = false
  }

  private func fail(_ reason: String, isLost: Bool = false) {
    isSampling = false
    latch.set()
    do throws(InstrumentError) { try instrument?.open() } catch { lose(error) }
    report(isLost ? .lost(reason) : .failed(reason))
  }

  /// Judges samples against the limits; beyond one the output opens before anybody hears of it.
  private func take(_ acquired: Acquired) {
    let violation = limits.flatMap { limits in corrected(acquired).lazy.compactMap { limits.violation(by: $0) }.first }
    if violation != nil {
      isSampling = false
      latch.set()
      do throws(InstrumentError) { try instrument?.open() } catch { lose(error) }
      report(.tripped(violation ?? ""))
    }
    pass(acquired)
  }

  /// Gives samples on, with the zero of their range subtracted.
  private func pass(_ acquired: Acquired) {
    let samples = corrected(acquired)
    guard !samples.isEmpty else { return }
    lastVoltage = samples.last { $0.voltage != nil }?.voltage ?? lastVoltage
    report(.samples(samples, acquired.clockPairs))
  }

  private func corrected(_ acquired: Acquired) -> [Sample] {
    acquired.samples.map(corrected)
  }

  private func corrected(_ sample: Sample) -> Sample {
    guard let zero = zeros[sample.range] else { return sample }
    var sample = sample
    sample.current = sample.current.map { $0 - zero }
    return sample
  }

  func refuseWhenHeld() throws(InstrumentError) {
    guard latch.isSet else { return }
    throw SafetyLatch.refusal(settings.model)
  }

  func with<R>(_ body: (any PotentiostatDriver) throws(InstrumentError) -> R) throws(InstrumentError) -> R {
    guard let instrument else {
      throw .wire(.notFound(device: settings.model, reason: "it is not connected"))
    }
    do throws(InstrumentError) { return try body(instrument) } catch {
      lose(error)
      throw error
    }
  }

  /// An instrument that is gone is let go, so that the next run opens it anew. One that did not answer is kept, so that its
  /// output can still be opened.
  private func lose(_ error: InstrumentError) {
    if error.isGone { close() } else if error.isTimeOut { isDoubtful = true }
  }
}
