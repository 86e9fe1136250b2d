import Quantities
import Testing

@Suite struct QuantityPrintingTests {
  @Test(
    "Three digits and a prefix",
    arguments: [
      (2e-12, "2.00 pA"), (2.3456e-12, "2.35 pA"), (-1e-10, "-100 pA"), (1e-9, "1.00 nA"), (9.994e-10, "999 pA"),
      (9.996e-10, "1.00 nA"), (9.996e-12, "10.0 pA"), (0, "0 A"), (-0.0, "0 A"), (5e-15, "5.00 fA"),
      (5e-16, "0.500 fA"), (1.5, "1.50 A"),
      (999.6, "1.00 kA"), (1e6, "1000 kA"), (12.34e-3, "12.3 mA"), (0.5, "500 mA"), (1e-12, "1.00 pA"),
      (.infinity, "inf A"),
    ])
  func description(value: Double, text: String) {
    #expect(Amperes(value).description == text)
  }

  @Test("Mega is printed where it is read")
  func mega() {
    #expect(Ohms(5e6).description == "5.00 MOhm")
    #expect(Hertz(400).description == "400 Hz")
    #expect(Volts(5e6).description == "5000 kV")
  }

  @Test(
    "The exact text is the shortest that reads back",
    arguments: [
      (2e-12, "2 pA"), (2.3456789e-12, "2.3456789 pA"), (-1e-10, "-100 pA"), (0.5, "0.5 A"), (-0.25, "-0.25 A"),
      (0.05, "50 mA"), (4.2, "4.2 A"), (2e-13, "200 fA"), (1e-16, "0.1 fA"), (1234.5, "1.2345 kA"), (1e7, "10000 kA"),
      (0, "0 A"), (1e-15, "1 fA"), (120, "120 A"),
    ])
  func exactText(value: Double, text: String) throws {
    #expect(Amperes(value).exactText == text)
    #expect(try Amperes(parsing: text).value == value)
  }

  @Test("Any double reads back from its exact text")
  func roundTrip() throws {
    var state: UInt64 = 1
    for _ in 0..<300 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let value = Double(bitPattern: state)
      guard value.isFinite else { continue }
      #expect(try Volts(parsing: Volts(value).exactText).value == value, "\(value)")
      #expect(try Ohms(parsing: Ohms(value).exactText).value == value, "\(value)")
      #expect(try Seconds(parsing: Seconds(value).exactText).value == value, "\(value)")
      #expect(try SquareMetres(parsing: SquareMetres(value).exactText).value == value, "\(value)")
      #expect(try ElectronDose(parsing: ElectronDose(value).exactText).value == value, "\(value)")
      #expect(!Volts(value).description.isEmpty && !Seconds(value).description.isEmpty)
      #expect(!SquareMetres(value).description.isEmpty && !ElectronDose(value).description.isEmpty)
    }
  }

  @Test(
    "Time is printed as people say it",
    arguments: [
      (0.25, "250 ms", "0.25 s"), (0.01, "10.0 ms", "10 ms"), (12.5, "12.5 s", "12.5 s"), (60, "60.0 s", "60 s"),
      (330, "5 min 30 s", "330 s"), (300, "5 min", "5 min"), (7800, "2 h 10 min", "130 min"), (3600, "1 h", "1 h"),
      (3599.7, "1 h", "3599.7 s"), (86400, "24 h", "24 h"), (-7200, "-2 h", "-2 h"), (0, "0 s", "0 s"),
      (100_000.5, "27 h 46 min", "100000.5 s"), (2.4e-3, "2.40 ms", "2.4 ms"),
    ])
  func time(value: Double, rounded: String, exact: String) {
    #expect(Seconds(value).description == rounded)
    #expect(Seconds(value).exactText == exact)
  }

  @Test("Areas and doses are printed in the units of the field")
  func otherUnits() {
    #expect(SquareMetres(1.2e-12).description == "1.20 um^2")
    #expect(SquareMetres(1.2e-12).exactText == "1.2 um^2")
    #expect(SquareMetres(4e-16).exactText == "400 nm^2")
    #expect(ElectronDose(5000).description == "5000 e/A^2")
    #expect(ElectronDose(12.345).description == "12.3 e/A^2")
    #expect(ElectronDose(0.5).exactText == "0.5 e/A^2")
  }

  @Test("Digits behind the point are rounded, and a negative zero loses its sign")
  func fixedDigits() {
    #expect(fixed(1.005, decimals: 1) == "1.0")
    #expect(fixed(-0.04, decimals: 1) == "0.0")
    #expect(fixed(-2.5, decimals: 0) == "-3")
    #expect(fixed(12.0625, decimals: 3) == "12.063")
    #expect(fixed(.nan, decimals: 1) == "nan")
    #expect(fixed(1e300, decimals: 2) == "1e+300")
  }
}
