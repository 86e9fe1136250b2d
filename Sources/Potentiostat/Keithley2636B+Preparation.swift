import Linux
package import Quantities
package import USB

/// From whatever state the instrument is in to an open output with ranges, limits and aperture set.
extension Keithley2636B {
  package func prepare(_ acquisition: Acquisition) throws(InstrumentError) {
    self.acquisition = acquisition
    try connection.clear()
    try open()
    hasRest = false
    try takeUnread()
    unread = Acquired()
    // Of a script that ended before this run.
    noteEnding()
    measured = .off
    try apply(["errorqueue.clear()", "localnode.prompts = 0 localnode.showerrors = 0"])
    // The queue that was cleared may have held a refusal, and off would be 0 V then (scpi-smu.md §1.1).
    for (attribute, wanted) in [("source.output", 0.0), ("source.offmode", 2.0)] {
      let found = try number("\(smu).\(attribute)")
      guard found == wanted else {
        throw .unexpected(
          device: connection.name, command: "\(smu).\(attribute)",
          answer: "\(found) instead of \(wanted); open the contacts, and look at its front panel")
      }
    }
    lineFrequency = try number("localnode.linefreq")
    if !isLoaded {
      // One epoch of the timer for this connection; its stamps are of 1 µs (scpi-smu.md §4).
      try apply(["timer.reset()", "loadscript \(ResidentScript.name)"] + scriptLines + ["endscript"])
      try apply(["\(ResidentScript.name)()"])
      isLoaded = true
    }
    try apply(["insitud_use(\(smu), \(settings.triggerIn ?? 0), \(settings.triggerOut ?? 0))"])
    lastRow = 0
    try set([
      ("source.leveli", 0), ("source.levelv", 0), ("source.autorangei", 0), ("source.autorangev", 0),
      ("measure.autorangei", 0), ("measure.autorangev", 0), ("source.rangev", voltageRange.range),
      ("measure.rangev", voltageRange.range), ("source.delay", 0), ("measure.delay", 0), ("measure.count", 1),
      ("measure.filter.enable", 0), ("source.highc", 0),
    ])
    let limits = acquisition.limits
    // The least that the instrument takes is 100 pA; tighter limits are held by the script, and on every sample here.
    let currentLimit = max(TSPModel.smallestCurrentLimit, limits.largestCurrent.value)
    let voltageLimit = min(TSPModel.largestVoltageLimit, limits.voltageCompliance.value)
    try set([("source.limiti", currentLimit), ("source.limitv", voltageLimit)])
    try setRanges()
    try set([("measure.nplc", powerLineCycles)])
    try apply([
      "\(smu).sense = \(smu).SENSE_\(settings.fourWire ? "REMOTE" : "LOCAL")",
      "\(smu).measure.autozero = \(smu).AUTOZERO_ONCE",
    ])
    try prepareLines()
  }

  private var scriptLines: [String] { ResidentScript.text.split(separator: "\n").map(String.init) }

  /// Rising pulses on the output line; any rising edge on the input line (2600B manual, from memory).
  private func prepareLines() throws(InstrumentError) {
    if let line = settings.triggerOut {
      try apply(["digio.trigger[\(line)].mode = digio.TRIG_RISINGM", "digio.trigger[\(line)].pulsewidth = 1e-4"])
    }
    if let line = settings.triggerIn {
      try apply(["digio.trigger[\(line)].mode = digio.TRIG_RISINGA", "digio.trigger[\(line)].clear()"])
    }
  }

  private func setRanges() throws(InstrumentError) {
    let wanted = acquisition?.currentRange ?? .zero
    try set([
      ("source.leveli", 0), ("source.rangei", ranges.holding(rangeHolding(wanted)).range.value),
      ("measure.rangei", ranges.holding(wanted).range.value),
    ])
  }

  package func setRange(_ currentRange: Amperes) throws(InstrumentError) {
    try tellEnding()
    try open()
    acquisition?.currentRange = currentRange
    measured = .off
    try setRanges()
  }

  package func setPeriod(_ period: Seconds) throws(InstrumentError) {
    acquisition?.period = period
    try set([("measure.nplc", powerLineCycles)])
  }

  /// Four fifths of the sample period; the rest is the script's. 0.001 to 25 (scpi-smu.md §4).
  private var powerLineCycles: Double {
    min(25, max(0.001, 0.8 * (acquisition?.period.value ?? 0.02) * lineFrequency))
  }
  var aperture: Seconds { Seconds(powerLineCycles / lineFrequency) }
}
