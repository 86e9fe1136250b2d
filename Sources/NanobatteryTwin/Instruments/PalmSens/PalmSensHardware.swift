/// The electronics of one MethodSCRIPT instrument (methodscript.md §1, §3), as far as the emulator needs them.
package struct PalmSensHardware: Sendable {
  package struct Range: Equatable, Sendable {
    /// A, as `set_range` takes it.
    package var nominal: Double
    /// A at which the amplifier is at its end.
    package var measurable: Double
    /// As packages report it.
    package var index: Int
    /// As galvanostat packages report it; nil: a range of the potentiostat alone.
    package var galvanostatIndex: Int?
  }

  /// As the daemon's configuration names it.
  package var name: String
  package var vendor: UInt16
  package var product: UInt16
  package var productName: String
  /// Reply to `t` without the echo.
  package var firmware: [String]
  package var serial: String
  /// Behind an FTDI chip instead of a USB port of its own.
  package var isFTDI = false
  package var potential: ClosedRange<Double>
  /// V of the dynamic window by mode; empty: none.
  package var windows: [Int: (range: ClosedRange<Double>, width: Double)] = [:]
  package var hasGalvanostat = true
  package var ranges: [Range]
  /// Potential steps of the source and of a reading, V; assumed: 16 bits.
  package var potentialStep: Double
  /// Step of a current reading as a share of the range, and least rms noise at 20 ms.
  package var currentStep = 92e-6
  package var leastNoise = 0.0
  /// `,4H` in packages.
  package var reportsNoise = true

  /// Shares of the measurable current from which a reading warns, and below which it is underloaded: 2.46 and 0.123 of
  /// 2.92 (§3).
  package static let warning = 2.46 / 2.92
  package static let underload = 0.123 / 2.92

  private static func decades(_ ranges: [(Double, Int)]) -> [Range] {
    ranges.map { Range(nominal: $0.0, measurable: 2.92 * $0.0, index: $0.1, galvanostatIndex: $0.1) }
  }

  package static let emStat4LR = PalmSensHardware(
    name: "emstat4-lr", vendor: 0x300A, product: 0x0000, productName: "EmStat4",
    firmware: ["es4_lr1500#Mar 12 2026 14:28:01", "R*"], serial: "ES4LR20B0008", potential: -3...3,
    ranges: decades([
      (1e-9, 3), (10e-9, 6), (100e-9, 9), (1e-6, 12), (10e-6, 15), (100e-6, 18), (1e-3, 21), (10e-3, 24),
    ]), potentialStep: 100e-6)

  package static let emStat4HR = PalmSensHardware(
    name: "emstat4-hr", vendor: 0x300A, product: 0x0001, productName: "EmStat4",
    firmware: ["es4_hr1100#Jan 28 2022 11:04:43", "R*"], serial: "ES4HR20B0001", potential: -6...6,
    ranges: decades([
      (100e-9, 9), (1e-6, 12), (10e-6, 15), (100e-6, 18), (1e-3, 21), (10e-3, 24), (100e-3, 27),
    ]), potentialStep: 200e-6)

  package static let nexus = PalmSensHardware(
    name: "nexus", vendor: 0x300A, product: 0x0009, productName: "Nexus",
    firmware: ["nexus11000#Mar 12 2026 14:28:01", "R*"], serial: "NEXUS25A0001", potential: -10...10,
    ranges: [
      Range(nominal: 100e-12, measurable: 292e-12, index: 16, galvanostatIndex: nil)
    ]
      + (0...9).map { index in
        let nominal = [1e-9, 10e-9, 100e-9, 1e-6, 10e-6, 100e-6, 1e-3, 10e-3, 100e-3, 1][index]
        return Range(
          nominal: nominal, measurable: 2.92 * nominal, index: index < 8 ? index : index + 2,
          galvanostatIndex: index < 8 ? 32 + index : 34 + index)
      }, potentialStep: 300e-6)

  /// Steps and noise as measured on a real one with firmware 1601: 1.8 nA and some nA on the 2 µA range (§3).
  package static let emStatPico = PalmSensHardware(
    name: "emstat-pico", vendor: 0x0403, product: 0x6015, productName: "ESPicoDev",
    firmware: ["espico1601#Oct 22 2024 14:38:26", "R*"], serial: "ESPIC22C0042", isFTDI: true, potential: -1.7...2,
    windows: [2: (-1.25...2, 2.2), 3: (-1.7...2, 1.214), 4: (-1.7...2, 2.6)], hasGalvanostat: false,
    ranges: zip(
      [100e-9, 2e-6, 4e-6, 8e-6, 16e-6, 32e-6, 63e-6, 125e-6, 250e-6, 500e-6, 1e-3, 5e-3],
      [60e-9, 1.17e-6, 2.34e-6, 4.68e-6, 9.38e-6, 18.7e-6, 37.5e-6, 75e-6, 150e-6, 300e-6, 600e-6, 3e-3]
    ).enumerated().map {
      Range(nominal: $0.element.0, measurable: $0.element.1, index: $0.offset, galvanostatIndex: $0.offset)
    }, potentialStep: 400e-6, currentStep: 0.9e-3, leastNoise: 0.5e-3, reportsNoise: false)
}
