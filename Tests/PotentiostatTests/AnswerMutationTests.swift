import Quantities
import Testing
import TwinBench
import USB

@testable import Potentiostat

@Suite("Decoders of source-measure units under mutation")
struct AnswerMutationTests {
  private func bytes(_ texts: [String]) -> [[UInt8]] { texts.map { Array($0.utf8) } }

  @Test("Numbers of a 2450: as many as there are fields, or none")
  func numbers() {
    let corpus = bytes([
      "1.234567E-12,3.750000E+00,1763712000,0.123456789,0,1", "9.91E37, -9.9E+37,NAN,INF,0x1p3", "-1e-15", "",
    ])
    Mutations("SCPI numbers", 50_000, of: corpus).forEach { mutated, _ in
      let text = String(decoding: mutated, as: UTF8.self)
      guard let numbers = Keithley2450.numbers(text) else { return }
      #expect(numbers.count == text.utf8.count { $0 == UInt8(ascii: ",") } + 1)
    }
  }

  @Test("Rows of the resident script: finite times, and no more rows than lines")
  func rows() {
    let corpus = bytes([
      "R,1,12.345678,2.1e-12,3.75,0\nR,2,12.365678,2.2e-12,3.75,1\nT,12.4,0,1,\n", "B,3.25\n", "T,5,0,0,limit\n",
      "R,3,1.5,9.91E37,9.91E37,8\n",
    ])
    var taken = 0
    Mutations("rows of TSP", 50_000, of: corpus).forEach { mutated, _ in
      let text = String(decoding: mutated, as: UTF8.self)
      guard let answer = try? Keithley2636B.parse(text, device: "2636B") else { return }
      taken += 1
      #expect(answer.rows.count <= text.split(whereSeparator: \.isNewline).count)
      #expect(answer.rows.allSatisfy { (0..<1e9).contains($0.time) && $0.current.isFinite && $0.voltage.isFinite })
      #expect(answer.spoken.map { (0..<1e9).contains($0) } ?? true)
    }
    #expect(taken > 0)
  }

  @Test("Binary rows of a B2900A: whole rows or none, times that can be")
  func binary() {
    func row(_ values: [Double]) -> [UInt8] {
      values.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } }
    }
    let corpus = [row([3.75, 2e-12, 12.5, 0]), row([.nan, 9.91e37, 1e-3, 6] + [-1, .infinity, 2, 0x2000]), []]
    var taken = 0
    Mutations("binary rows", 50_000, of: corpus).forEach { mutated, _ in
      guard let rows = KeysightReading.rows(mutated) else { return }
      taken += rows.count
      #expect(rows.count * KeysightReading.elementCount * 8 == mutated.count)
      #expect(rows.allSatisfy { (0...1_000_000_000_000_000_000).contains($0.stamp) })
      for row in rows { #expect(row.voltage.value?.isFinite ?? true) }
    }
    #expect(taken > 0)
  }
}
