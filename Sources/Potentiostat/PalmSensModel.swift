import Quantities
package import USB

/// What tells one MethodSCRIPT potentiostat from another, as data (methodscript.md §1, §3).
package struct PalmSensModel: Sendable {
  package struct Range: Sendable {
    package var facts: RangeFacts
    /// A, as the instrument's tables name the range and `set_range` takes it.
    package var nominal: Double
    /// Numbers under which the instrument reports it: as potentiostat, as galvanostat.
    package var indices: [Int]
    /// A current can be held on it (§3, range index tables).
    package var isSource = true
  }

  /// As the configuration names it.
  package let name: String
  package let product: String
  /// What `t` begins with.
  package let firmware: [String]
  package let serial: SerialKind
  package let baud: Int
  /// V that can be applied and measured.
  package let potential: ClosedRange<Double>
  /// V between the lowest and the highest potential of one script; nil: no such bound.
  package let window: Double?
  package let holdsCurrent: Bool
  package let ranges: [Range]
  /// Hz of `set_max_bandwidth`.
  package let mostBandwidth: Double
  package let shortestPeriod: Double
  package let voltageAccuracy: Double
  package let remarks: [String]

  package static let all: [PalmSensModel] = [.emStat4LR, .emStat4HR, .nexus, .emStatPico]
}

/// Ranges of the EmStat4 and the Nexus: measurable is about three times the nominal value (§3), of which the nominal one
/// is counted on. The sheet has no resolution: 27 bits of a package's mantissa are digital only. Taken are 16 bits over
/// ±3 times the range (0.009 %), and for the error 0.2 % of the reading, 0.2 % of the range and 20 pA: the maker's
/// data sheet of the EmStat4 from memory, not tried on hardware.
private func decade(_ nominal: Double, _ indices: Int..., isSource: Bool = true) -> PalmSensModel.Range {
  PalmSensModel.Range(
    facts: RangeFacts(
      range: Amperes(nominal), sourceResolution: Amperes(nominal * 1e-4), measureResolution: Amperes(nominal * 92e-6),
      measureGain: 0.002, measureOffset: Amperes(20e-12 + 0.002 * nominal), settling: Seconds(0.1)),
    nominal: nominal, indices: indices, isSource: isSource)
}

/// Ranges of the Pico in low-speed mode: what they measure at most is less than their names say (§3, table 38 of the
/// manual). Steps of 1.8 nA on the 2 µA range, noise up to 5 nA there, were measured on a real one; both are taken in
/// proportion for the other ranges. 1 % of the range as error is an assumption.
private func picoRange(_ index: Int, _ nominal: Double, measurable: Double) -> PalmSensModel.Range {
  PalmSensModel.Range(
    facts: RangeFacts(
      range: Amperes(measurable), sourceResolution: Amperes(nominal * 0.9e-3),
      measureResolution: Amperes(nominal * 2.5e-3), measureGain: 0.01, measureOffset: Amperes(nominal * 0.01),
      settling: Seconds(0.1)),
    nominal: nominal, indices: [index])
}

private let conservative =
  "Resolution and accuracy of its ranges are conservative figures, not those of a data sheet: check them with a dummy cell."
private let bias = """
  Every change of bias, and every 45 s of a step, begins a new script: between two of them the cell is open for some \
  tens of milliseconds and nothing is measured; the first reading after it is flagged.
  """
private let rest = """
  A rest is measured with the cell switched off: the voltage is that of the open circuit, and no current is read. The \
  voltage of a hold is the applied one.
  """

extension PalmSensModel {
  static let emStat4LR = PalmSensModel(
    name: "emstat4-lr", product: "EmStat4 LR", firmware: ["es4_lr", "mes4lr"], serial: .cdcACM, baud: 921_600,
    potential: -3...3, window: nil, holdsCurrent: true,
    ranges: [
      decade(1e-9, 3), decade(10e-9, 6), decade(100e-9, 9), decade(1e-6, 12), decade(10e-6, 15), decade(100e-6, 18),
      decade(1e-3, 21), decade(10e-3, 24),
    ], mostBandwidth: 200e3, shortestPeriod: 0.01, voltageAccuracy: 5e-3, remarks: [conservative, bias, rest])

  static let emStat4HR = PalmSensModel(
    name: "emstat4-hr", product: "EmStat4 HR", firmware: ["es4_hr", "mes4hr"], serial: .cdcACM, baud: 921_600,
    potential: -6...6, window: nil, holdsCurrent: true,
    ranges: [
      decade(100e-9, 9), decade(1e-6, 12), decade(10e-6, 15), decade(100e-6, 18), decade(1e-3, 21), decade(10e-3, 24),
      decade(100e-3, 27),
    ], mostBandwidth: 200e3, shortestPeriod: 0.01, voltageAccuracy: 8e-3,
    remarks: ["It is no pA instrument: its lowest range is 100 nA.", conservative, bias, rest])

  /// As galvanostat it begins at 1 nA. The numbers of 1 mA and 10 mA are double: with the transimpedance amplifier and without.
  static let nexus = PalmSensModel(
    name: "nexus", product: "Nexus", firmware: ["nexus1"], serial: .cdcACM, baud: 921_600,
    potential: -10...10, window: nil, holdsCurrent: true,
    ranges: [
      decade(100e-12, 16, isSource: false), decade(1e-9, 0, 32), decade(10e-9, 1, 33), decade(100e-9, 2, 34),
      decade(1e-6, 3, 35),
      decade(10e-6, 4, 36), decade(100e-6, 5, 37), decade(1e-3, 6, 8, 38, 40), decade(10e-3, 7, 9, 39, 41),
      decade(100e-3, 10, 42), decade(1, 11, 43),
    ], mostBandwidth: 1e6, shortestPeriod: 0.01, voltageAccuracy: 12e-3, remarks: [conservative, bias, rest])

  static let emStatPico = PalmSensModel(
    name: "emstat-pico", product: "EmStat Pico", firmware: ["espico"], serial: .ftdi, baud: 230_400,
    potential: -1.7...2, window: 2.6, holdsCurrent: false,
    ranges: [
      picoRange(0, 100e-9, measurable: 60e-9), picoRange(1, 2e-6, measurable: 1.17e-6),
      picoRange(2, 4e-6, measurable: 2.34e-6), picoRange(3, 8e-6, measurable: 4.68e-6),
      picoRange(4, 16e-6, measurable: 9.38e-6), picoRange(5, 32e-6, measurable: 18.7e-6),
      picoRange(6, 63e-6, measurable: 37.5e-6), picoRange(7, 125e-6, measurable: 75e-6),
      picoRange(8, 250e-6, measurable: 150e-6), picoRange(9, 500e-6, measurable: 300e-6),
      picoRange(10, 1e-3, measurable: 600e-6), picoRange(11, 5e-3, measurable: 3e-3),
    ], mostBandwidth: 100, shortestPeriod: 0.02, voltageAccuracy: 10e-3,
    remarks: [
      """
      It is no pA instrument: its lowest range is 100 nA (60 nA measurable), and several nanoamperes of noise were \
      measured on a real one on its 2 µA range.
      """,
      "It has no galvanostat: it rests and holds voltages between −1.7 V and 2 V, and holds no current.", conservative,
      bias, rest,
    ])

  /// The smallest range that holds `current`; the largest where none does.
  /// - Parameter isSourced: of those that a current can be held on.
  package func range(for current: Double, isSourced: Bool = false) -> Range {
    ranges.first { $0.facts.range.value >= current && ($0.isSource || !isSourced) } ?? ranges.last!
  }
}

extension PotentiostatModel {
  static let emStat4LR = palmSens(.emStat4LR)
  static let emStat4HR = palmSens(.emStat4HR)
  static let nexus = palmSens(.nexus)
  static let emStatPico = palmSens(.emStatPico)

  private static func palmSens(_ model: PalmSensModel) -> PotentiostatModel {
    PotentiostatModel(name: model.name) { bus, settings, latch throws(InstrumentError) in
      let connection = try SerialConnection.open(
        settings.usb, model.serial, baud: model.baud, on: bus, name: settings.model)
      do throws(InstrumentError) { return try PalmSens(connection, model, name: settings.model, latch: latch) } catch {
        connection.close()
        throw error
      }
    }
  }
}
