import Quantities
import Testing

@Suite struct QuantityParsingTests {
  @Test(
    "Numbers with units are the nearest double, rounded once",
    arguments: [
      ("2 pA", 2e-12), ("2pA", 2e-12), ("2e-12 A", 2e-12), ("2E-12A", 2e-12), (" 2  pA ", 2e-12), ("0.002 nA", 2e-12),
      ("2.3456789 pA", 2.3456789e-12), ("-100 pA", -1e-10), ("+5 fA", 5e-15), (".5 mA", 5e-4), ("5. mA", 5e-3),
      ("1e3 A", 1000), ("1e+3 uA", 1e-3), ("3 kA", 3000), ("0 A", 0), ("0.1 pA", 1e-13), ("0.7 pA", 7e-13),
      ("2\u{A0}pA", 2e-12), ("\u{2212}2\u{2009}pA", -2e-12), ("1e-400 A", 0),
    ])
  func exact(text: String, value: Double) throws {
    #expect(try Amperes(parsing: text).value == value)
  }

  @Test("Micro is read in its three spellings", arguments: ["u", "µ", "μ"])
  func micro(prefix: String) throws {
    #expect(try Volts(parsing: "5 \(prefix)V").value == 5e-6)
    #expect(try Seconds(parsing: "5 \(prefix)s").value == 5e-6)
    #expect(try SquareMetres(parsing: "1.2 \(prefix)m^2").value == 1.2e-12)
  }

  @Test("M is mega before Ohm and Hz, and refused with a reason elsewhere")
  func mega() throws {
    #expect(try Ohms(parsing: "3 MOhm").value == 3e6)
    #expect(try Ohms(parsing: "3 MΩ").value == 3e6)
    #expect(try Ohms(parsing: "3 k\u{2126}").value == 3e3)
    #expect(try Hertz(parsing: "2 MHz").value == 2e6)
    #expect(try Hertz(parsing: "2 mHz").value == 2e-3)
    for text in ["3 MA", "3MA"] {
      let error = #expect(throws: QuantityError.self) { try Amperes(parsing: text) }
      #expect(error?.description.contains("“M” (mega) is understood only before Ohm and Hz; “mA” is milli") == true)
    }
    #expect(throws: QuantityError.self) { try Volts(parsing: "1 MV") }
    #expect(throws: QuantityError.self) { try Seconds(parsing: "1 Ms") }
  }

  @Test(
    "What is no current is refused with a reason",
    arguments: [
      ("2", "has no unit; write for example “2 A”"), ("", "is not a number"), ("A", "is not a number"),
      ("two pA", "is not a number"), ("--2 A", "is not a number"), ("1.2.3 A", "is not a number"),
      ("NaN A", "is not a number"), ("inf A", "is not a number"), ("0x10 A", "“x10 A” is not A"),
      ("2 V", "is a voltage; a current is needed here"), ("2 min", "is a time; a current"),
      ("2 um^2", "is an area; a current"), ("2 e/A^2", "is a dose; a current"), ("2 pC", "is a charge"),
      ("2 PA", "did you mean “pA”?"), ("2 ma", "did you mean “mA”?"), ("2,5 pA", "not a comma"),
      ("2 GA", "“GA” is not A with a prefix"), ("2 aA", "“aA” is not A with a prefix"), ("2 pA pA", "is not A"),
      ("1e999 A", "too large"), ("1e9999999999999999999999 A", "is not a number"), ("２ A", "is not a number"),
    ])
  func refused(text: String, words: String) {
    let error = #expect(throws: QuantityError.self) { try Amperes(parsing: text) }
    #expect(error?.description.contains(words) == true, "\(String(describing: error))")
  }

  @Test(
    "Time has units of its own",
    arguments: [
      ("1e3 s", 1000), ("10 ms", 0.01), ("60 s", 60), ("5 min", 300), ("1 h", 3600), ("2 hours", 7200), ("1 d", 86400),
      ("1.5 minutes", 90), ("1 hr", 3600), ("3 sec", 3), ("3 seconds", 3), ("2 days", 172800), ("100 us", 1e-4),
    ])
  func time(text: String, value: Double) throws {
    #expect(try Seconds(parsing: text).value == value)
  }

  @Test("One letter for minutes or metres or milli is refused, and so is a kilosecond")
  func ambiguousTime() {
    let error = #expect(throws: QuantityError.self) { try Seconds(parsing: "5 m") }
    #expect(error?.description == "“5 m”: write “5 min” or “5 ms”; “m” alone could be either")
    #expect(throws: QuantityError.self) { try Seconds(parsing: "5 ks") }
    #expect(throws: QuantityError.self) { try Seconds(parsing: "5") }
    #expect(throws: QuantityError.self) { try Seconds(parsing: "1e308 d") }
  }

  @Test("Areas square their prefix")
  func areas() throws {
    #expect(try SquareMetres(parsing: "1.2 um²").value == 1.2e-12)
    #expect(try SquareMetres(parsing: "400 nm^2").value == 4e-16)
    #expect(try SquareMetres(parsing: "1 cm^2").value == 1e-4)
    #expect(try SquareMetres(parsing: "2 mm^2").value == 2e-6)
    #expect(try SquareMetres(parsing: "2 m^2").value == 2)
    for text in ["2", "2 um", "2 m", "2 km^2", "x"] {
      #expect(throws: QuantityError.self) { try SquareMetres(parsing: text) }
    }
  }

  @Test("Doses are counted per square ångström, however they were written")
  func doses() throws {
    #expect(try ElectronDose(parsing: "5000 e/A^2").value == 5000)
    #expect(try ElectronDose(parsing: "5000 e/Å^2").value == 5000)
    #expect(try ElectronDose(parsing: "5000 e/A\u{30A}²").value == 5000)
    #expect(try ElectronDose(parsing: "5000 e/\u{212B}^2").value == 5000)
    #expect(try ElectronDose(parsing: "500000 e/nm^2").value == 5000)
    for text in ["5000", "5000 A", "5 ke/A^2", "5 e/pm^2"] {
      #expect(throws: QuantityError.self) { try ElectronDose(parsing: text) }
    }
  }
}
