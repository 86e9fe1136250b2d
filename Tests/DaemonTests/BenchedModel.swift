import Quantities
import Testing

/// A potentiostat of the twin, with a cell and a protocol that fit it, and what is to be expected of the record.
struct BenchedModel: Sendable, CustomTestStringConvertible {
  var name: String
  var usb: String
  /// Lines of `twin.cell`.
  var cell = small
  var voltages = "[-0.5 V, 4.5 V]"
  var currents = "[-100 pA, 100 pA]"
  var sample = "10 ms"
  var range = "10 nA"
  /// Held in the second step, A; nil: the model has no current source.
  var current: Double? = 2e-12
  /// Held in the last step, V.
  var held = 3.6
  /// As `insituctl devices` writes it.
  var lowestRange = "10.0 nA"
  /// How far the mean of a second may be from the truth, A and V.
  var currentTolerance = 0.15e-12
  var voltageTolerance = 2e-3
  /// What an instrument that is not nulled reads besides, A.
  var offset = 0.45e-12
  /// What `devices` warns of, in parts of its sentences.
  var warnings: [String] = []
  /// What is doubted of the protocol.
  var doubts: [String] = []

  var testDescription: String { name }

  /// A cell that settles soon: little is taken from it when a cable that stood at 0 V is connected.
  private static let small = ["stray_capacitance: 0.1 pF", "exchange_current: 20 pA"]
  /// A cell of some square millimetres, for instruments that have no range for a smaller one.
  private static let large = [
    "capacity: 600 nC", "exchange_current: 20 nA", "series_resistance: 100 kOhm", "double_layer: 2 nF",
    "thermal_noise: false",
  ]

  static let all: [BenchedModel] = [
    BenchedModel(
      name: "keithley-2450", usb: "05E6:2450", doubts: ["2 pA is below what the keithley-2450 can be trusted with"]),
    BenchedModel(
      name: "keithley-2460", usb: "05E6:2460", cell: large, currents: "[-500 nA, 500 nA]", range: "1 uA",
      current: 20e-9,
      lowestRange: "1.00 uA", currentTolerance: 50e-12, warnings: ["the lowest range is 1.00 uA"]),
    BenchedModel(
      name: "keithley-2636b", usb: "05E6:2636", range: "1 nA", lowestRange: "100 pA",
      doubts: []),
    BenchedModel(
      name: "keysight-b2912a", usb: "any:MY51140001",
      doubts: ["2 pA is below what the keysight-b2912a can be trusted with"]),
    BenchedModel(
      name: "keysight-b2985a", usb: "any:MY54320001", range: "2 nA", current: nil, lowestRange: "2.00 pA",
      warnings: ["It has no current source"]),
    BenchedModel(
      name: "nexus", usb: "300A:0009", sample: "20 ms", range: "100 pA", current: 10e-12, lowestRange: "100 pA",
      voltageTolerance: 4e-3,
      warnings: ["begins a new script"], doubts: ["10 pA is below what the nexus can be trusted with"]),
    BenchedModel(
      name: "emstat4-lr", usb: "300A:0000", cell: small + ["plateau: 2.4 V"], voltages: "[0.5 V, 2.9 V]",
      currents: "[-500 pA, 500 pA]", sample: "20 ms", range: "1 nA", current: 20e-12, held: 2.4, lowestRange: "1.00 nA",
      currentTolerance: 0.5e-12, voltageTolerance: 4e-3, warnings: ["begins a new script"],
      doubts: ["20 pA is below what the emstat4-lr can be trusted with"]),
    BenchedModel(
      name: "emstat-pico", usb: "0403:6015", cell: large + ["plateau: 1 V"], voltages: "[-0.5 V, 1.8 V]",
      currents: "[-50 nA, 50 nA]", sample: "50 ms", range: "60 nA", current: nil, held: 0.97, lowestRange: "60.0 nA",
      currentTolerance: 250e-12, voltageTolerance: 4e-3, offset: 0, warnings: ["It is no pA instrument"]),
  ]

  /// Frames all the time; a rest, a held current where there is one, a held voltage.
  func text(rest: Double, current seconds: Double, hold: Double) -> String {
    """
    protocol: 1
    name: \(name)
    limits: {voltage: \(voltages), current: \(currents)}
    acquire: {sample: \(sample), range: \(range)}
    steps:
      - Record frames at 20 fps
      - Rest for \(rest) s
    \(current.map { "  - Charge at \(Amperes($0).exactText) for \(seconds) s\n" } ?? "")  - Hold at \(held) V for \(hold) s

    """
  }

  /// Lines of `Laboratory`.
  func settings(holder: String? = "obh-1") -> Laboratory.Settings {
    var settings = Laboratory.Settings()
    settings.side = 64
    settings.model = name
    settings.usb = usb
    settings.cell = cell
    settings.holder = holder
    return settings
  }
}
