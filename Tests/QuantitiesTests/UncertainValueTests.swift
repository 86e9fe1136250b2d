import Quantities
import Testing

@Suite("Values with their uncertainty")
struct UncertainValueTests {
  private static let lengths = ["A": 1.0, "Å": 1.0, "pm": 0.01, "nm": 10.0]

  private func length(_ text: String) throws -> UncertainValue {
    try UncertainValue(parsing: text, units: Self.lengths, example: "0.52 A +- 1 %", otherwise: 0.05)
  }

  @Test(
    "Signs, units and per cent are read as people write them",
    arguments: [
      ("0.52 A +- 0.01 A", 0.52, 0.01), ("0.52 A ± 1 %", 0.52, 0.0052), ("0.52A+/-1%", 0.52, 0.0052),
      ("0.52 ± 0.01 Å", 0.52, 0.01), ("0.052 nm +- 0.5 pm", 0.52, 0.005), ("0.52 A +- 0.01", 0.52, 0.01),
      ("0.052 nm", 0.52, 0.026), ("20 A +- 0", 20, 0), ("5e-2 nm +- 2e-1 %", 0.5, 0.001),
    ])
  func read(text: String, value: Double, uncertainty: Double) throws {
    let read = try length(text)
    #expect(abs(read.value - value) < 1e-12 && abs(read.uncertainty - uncertainty) < 1e-12, "\(read)")
  }

  @Test("A number without a unit is read where none is needed")
  func plain() throws {
    let read = try UncertainValue(parsing: "12.5 +- 0.4", units: ["": 1], example: "12.5 +- 0.4", otherwise: 0.05)
    #expect(read == UncertainValue(12.5, 0.4))
    #expect(abs(read.relative - 0.032) < 1e-12)
    let alone = try UncertainValue(parsing: "12.5", units: ["": 1], example: "12.5 +- 0.4", otherwise: 0.1)
    #expect(alone == UncertainValue(12.5, 1.25))
    #expect(throws: QuantityError.self) {
      try UncertainValue(parsing: "12.5 V", units: ["": 1], example: "12.5 +- 0.4", otherwise: 0.05)
    }
  }

  @Test(
    "What cannot be meant is refused with what to write",
    arguments: [
      ("0.52", "has no unit"), ("0.52 V", "has the unit “V”"), ("0.52 +- 1 %", "has no unit"),
      ("0.52 A +- 1 % +- 2 %", "more than one uncertainty"), ("-1 A", "more than zero"), ("0 A", "more than zero"),
      ("1 A +- 1 A", "less than the value"), ("1 A +- -0.1 A", "0 or more"), ("A", "not a number"),
      ("", "not a number"), ("1 A +-", "not a number"), ("1 A +- 1 s", "has the unit “s”"),
    ])
  func wrong(text: String, words: String) {
    let error = #expect(throws: QuantityError.self) { try length(text) }
    #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
  }

  @Test(
    "It is printed with two digits of its uncertainty",
    arguments: [
      (2.5, 0.1234, "2.50 ± 0.12"), (12.5, 0.4, "12.50 ± 0.40"), (1234.5, 56.7, "1235 ± 57"), (2, 0, "2.000 ± 0.000"),
      (0.00123, 0.000045, "0.001230 ± 0.000045"), (0, 1.5, "0.0 ± 1.5"),
    ])
  func print(value: Double, uncertainty: Double, text: String) {
    #expect(UncertainValue(value, uncertainty).description == text)
  }
}
