import Linux
package import Quantities
package import USB

/// What the potentiostat's thread tells the others.
package enum PotentiostatReport: Sendable {
  case samples([Sample], [ClockPair])
  /// A sample was beyond a limit; the output is open already.
  case tripped(String)
  /// The instrument is gone or does not obey; what the output does is not known.
  case failed(String)
}

/// The potentiostat as its thread owns it: connection, limits on every sample, and the zero of its current reading.
package final class PotentiostatStation {
  private let settings: PotentiostatSettings
  private let bus: any USBBus
  private let report: @Sendable (PotentiostatReport) -> Void
  private var instrument: (any PotentiostatDriver)?
  private var limits: CellLimits?
  private var period = Seconds(0.1)
  /// Subtracted from every current reading: what the instrument read with the contacts open.
  private var zero = Amperes.zero
  private var lastVoltage: Volts?
  private var isSampling = false
  /// Held in the safe state: nothing switches the output on until `release`. Whoever opened the output because of
  /// danger is not overruled by work that was already under way.
  private var isHeld = false

  package init(
    _ settings: PotentiostatSettings, bus: any USBBus, report: @escaping @Sendable (PotentiostatReport) -> Void
  ) {
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

  /// Opens the instrument when it is not open.
  package func connect() throws(SCPIError) -> InstrumentIdentity {
    if let instrument { return instrument.identity }
    guard let model = PotentiostatModels.named(settings.model) else {
      throw .unexpected(device: settings.model, command: "configuration", answer: "no such model")
    }
    let connection = try SCPIConnection.open(settings.usb, on: bus, name: settings.model)
    do throws(SCPIError) {
      let made = try model.make(connection, settings)
      instrument = made
      return made.identity
    } catch {
      connection.close()
      throw error
    }
  }

  /// Ends the hold of `makeSafe` or of a trip; the output stays open.
  package func release() { isHeld = false }

  /// Output off at high impedance, ranges and limits set; forgets the zero.
  package func prepare(_ acquisition: Acquisition) throws(SCPIError) {
    try refuseWhenHeld()
    isSampling = false
    limits = acquisition.limits
    period = acquisition.period
    zero = .zero
    lastVoltage = nil
    try with { instrument throws(SCPIError) in try instrument.prepare(acquisition) }
  }

  /// Reads the current for `span` with the holder's contacts open, keeps its mean as the zero, and opens the output.
  /// - Returns: the zero and its standard error.
  package func measureZero(for span: Seconds) throws(SCPIError) -> (zero: Amperes, standardError: Amperes) {
    try refuseWhenHeld()
    let samples = try with { instrument throws(SCPIError) -> [Sample] in
      _ = try instrument.apply(.voltage(.zero), present: .zero)
      var all: [Sample] = []
      let end = MonotonicTime.now + span
      while MonotonicTime.now < end {
        sleepThread(for: Seconds(0.02))
        all += try instrument.poll().samples
      }
      try instrument.open()
      return all
    }
    // The first fifth belongs to the settling of the output.
    let currents = samples.dropFirst(samples.count / 5).compactMap(\.current?.value)
    guard currents.count >= 4 else { return (.zero, .zero) }
    let mean = currents.reduce(0, +) / Double(currents.count)
    let variance = currents.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(currents.count - 1)
    zero = Amperes(mean)
    return (zero, Amperes((variance / Double(currents.count)).squareRoot()))
  }

  package func apply(_ bias: Bias) throws(SCPIError) {
    if bias != .open { try refuseWhenHeld() }
    let present = lastVoltage
    let before = try with { instrument throws(SCPIError) in try instrument.apply(bias, present: present) }
    isSampling = bias != .open
    take(before, checking: true)
  }

  /// Changes the current range; the output is open until the next bias.
  package func setRange(_ currentRange: Amperes) throws(SCPIError) {
    isSampling = false
    let before = try with { instrument throws(SCPIError) in try instrument.setRange(currentRange) }
    take(before, checking: true)
  }

  /// Output off at high impedance, whatever else is going on, and held there until `release`.
  package func makeSafe() throws(SCPIError) {
    isSampling = false
    isHeld = true
    guard let instrument else { return }
    do throws(SCPIError) { try instrument.open() } catch {
      lose(error)
      throw error
    }
    if let rest = try? instrument.poll() { take(rest, checking: false) }
  }

  package func errors() throws(SCPIError) -> [String] {
    try with { instrument throws(SCPIError) in try instrument.errors() }
  }

  /// Fetches what was measured and holds the limits.
  package func tick() {
    guard isSampling, let instrument else { return }
    do throws(SCPIError) { take(try instrument.poll(), checking: true) } catch {
      isSampling = false
      lose(error)
      report(.failed("\(error)"))
    }
  }

  package func close() {
    instrument?.close()
    instrument = nil
  }

  private func take(_ acquired: Acquired, checking: Bool) {
    var samples = acquired.samples
    for index in samples.indices { samples[index].current = samples[index].current.map { $0 - zero } }
    if let voltage = samples.last?.voltage { lastVoltage = voltage }
    var violation: String?
    if checking, let limits {
      violation = samples.lazy.compactMap { limits.violation(by: $0) }.first
      if violation != nil {
        isSampling = false
        isHeld = true
        do throws(SCPIError) { try instrument?.open() } catch { lose(error) }
      }
    }
    if !samples.isEmpty { report(.samples(samples, acquired.clockPairs)) }
    if let violation { report(.tripped(violation)) }
  }

  private func refuseWhenHeld() throws(SCPIError) {
    guard isHeld else { return }
    throw .unexpected(
      device: settings.model, command: "switching the output on", answer: "it is held in the safe state")
  }

  private func with<R>(_ body: (any PotentiostatDriver) throws(SCPIError) -> R) throws(SCPIError) -> R {
    guard let instrument else {
      throw .wire(.notFound(device: settings.model, reason: "it is not connected"))
    }
    do throws(SCPIError) { return try body(instrument) } catch {
      lose(error)
      throw error
    }
  }

  /// An instrument that is gone is let go, so that the next run opens it anew.
  private func lose(_ error: SCPIError) {
    if error.isGone { close() }
  }
}
