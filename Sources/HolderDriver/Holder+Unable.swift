package import Quantities
package import USB

/// What a model does that has not got an ability: it says so.
extension Holder {
  private func unable(_ what: String) -> InstrumentError {
    .unable(device: identity.model, reason: "this holder \(what)")
  }

  package func route(_ channels: [HolderChannel]) throws(InstrumentError) {
    throw unable("has no relays: wire it by hand, with the potentiostat's output off")
  }
  package func closedChannels() throws(InstrumentError) -> [HolderChannel] { throw unable("has no relays") }
  package func open(_ channels: [HolderChannel]) throws(InstrumentError) { try openAll() }
  package func openAll() throws(InstrumentError) {
    throw unable("has no relays and cannot open the cell: the potentiostat's output does, with insituctl estop")
  }
  package func insert(_ isOn: Bool) throws(InstrumentError) {
    throw unable("has no grounding state: ground its contacts by hand before you insert it")
  }
  package func leakage(at bias: Volts) throws(InstrumentError) -> (resistance: Ohms, current: Amperes) {
    throw unable(
      "cannot measure its leakage: unplug the cell and measure it with the potentiostat, in a run that holds 1 V")
  }
  package func setOutput(_ isOn: Bool) throws(InstrumentError) { throw unable("has no voltage source of its own") }
  package func drive(gate line: Int, to voltage: Volts) throws(InstrumentError) {
    throw unable("has no voltage source of its own: drive the gate with another instrument")
  }
  package func setMeter(range: Amperes?, aperture: Seconds) throws(InstrumentError) {
    throw unable("has no meter of its own")
  }
  package func isMeterSettling() throws(InstrumentError) -> Bool { throw unable("has no meter of its own") }
  package func meterRecords(atMost count: Int) throws(InstrumentError) -> [MeterRecord] {
    throw unable("has no meter of its own")
  }
  package func edges() throws(InstrumentError) -> [HolderEdge] { throw unable("has no trigger inputs") }
  package func detectContact(_ settings: ApproachSettings?) throws(InstrumentError) {
    throw unable("has no contact detection")
  }
  package func contact() throws(InstrumentError) -> ContactEvent? { throw unable("has no contact detection") }
  package func setWaveform(_ waveform: StepWaveform) throws(InstrumentError) { throw unable("has no piezo") }
  package func step(_ axis: PiezoAxis, by count: Int, amplitude: Volts, frequency: Hertz) throws(InstrumentError) {
    throw unable("has no piezo: move the probe with its own controller")
  }
  package func remainingSteps() throws(InstrumentError) -> Int { throw unable("has no piezo") }
  package func extend(_ axis: PiezoAxis, to voltage: Volts, voltsPerSecond: Double) throws(InstrumentError) {
    throw unable("has no piezo: move the probe with its own controller")
  }
  package func fineVoltages() throws(InstrumentError) -> [Double] { throw unable("has no piezo") }
  package func stopMotion() throws(InstrumentError) { throw unable("has no piezo") }
  package func heat(_ setting: HeaterSetting) throws(InstrumentError) {
    throw unable("has no heater that can be driven from here: use the heater's own controller")
  }
  package func heaterReading() throws(InstrumentError) -> HeaterReading? { throw unable("has no heater") }
  package func blank(_ isOn: Bool) throws(InstrumentError) {
    throw unable("has no output for a beam blanker: blank with the microscope and write a note")
  }
  package func readings() throws(InstrumentError) -> [HolderReading] { [] }
}
