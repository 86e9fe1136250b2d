import Glibc
import Testing

@testable import Potentiostat

private func package(_ line: String) -> MethodScriptPackage? { MethodScriptPackage(line: Array(line.utf8)) }
private func near(_ a: Double?, _ b: Double) -> Bool { a.map { abs($0 - b) <= abs(b) * 1e-9 + 1e-18 } ?? false }

/// methodscript.md §8.
@Suite("MethodSCRIPT values, packages and lines")
struct MethodScriptValueTests {
  struct Vector: Sendable {
    var line: String
    var values: [(String, Double)]
    var status: Int?
    var range: Int?
    var noise: Int?
  }

  static let vectors: [Vector] = [
    Vector(
      line: "Pda7F85F3Fu;ba48D503Dp,10,288", values: [("da", -0.499905), ("ba", -57.847747e-6)], status: 0, range: 0x88),
    Vector(
      line: "Pda7F9234Bu;ba4E2C324p,10,288", values: [("da", -0.449717), ("ba", -52.247772e-6)], status: 0, range: 0x88),
    Vector(
      line: "Pda806EC24u;baAE16C6Dp,10,288", values: [("da", 0.453668), ("ba", 48.327789e-6)], status: 0, range: 0x88),
    Vector(
      line: "Pda807B031u;baB360495p,10,288", values: [("da", 0.503857), ("ba", 53.871765e-6)], status: 0, range: 0x88),
    Vector(
      line: "Pda7F85F3Fu;ba4BA99F0p,10,288", values: [("da", -0.499905), ("ba", -54.879760e-6)], status: 0, range: 0x88),
    Vector(
      line: "PdcDF5DFF4u;cc896D904m,10,287;cd82DB1A8u,10,287",
      values: [("dc", 99.999732), ("cc", 9885.956), ("cd", 2.9946)], status: 0, range: 0x87),
    Vector(
      line: "Pda84E63DAn;ba82AB973f,14,284", values: [("da", 5.13737e-3), ("ba", 2.799987e-9)], status: 4, range: 0x84),
    Vector(
      line: "Pja8000001i;da7F0BDF9u;ba7678CD7p,10,20F,40",
      values: [("ja", 1), ("da", -0.999943), ("ba", -9.990953e-6)], status: 0, range: 0x0F, noise: 0),
    Vector(line: "Peb9570C36u;ba898E141p,10,20F,40", values: [("eb", 22.481974)], status: 0, range: 0x0F, noise: 0),
    Vector(
      line: "Pda8000000 ;ba9AE0ABCf,14,212,40", values: [("da", 0), ("ba", 28.183228e-9)], status: 4, range: 0x12),
    Vector(
      line: "PdaDF5CB18n;ba9699F74p,14,218,40", values: [("da", 0.099994392), ("ba", 23.699316e-6)], status: 4,
      range: 0x18),
    Vector(
      line: "Pda8000800u;ba8000800u,10,20B", values: [("da", 2.048e-3), ("ba", 2.048e-3)], status: 0, range: 0x0B),
  ]

  @Test("Recorded packages decode to their stated values", arguments: vectors)
  func recorded(vector: Vector) throws {
    let decoded = try #require(package(vector.line))
    for (type, value) in vector.values {
      // The sheet states some of them to fewer digits than the line has.
      let got = try #require(decoded[type]?.value)
      #expect(abs(got - value) <= max(abs(value) * 1e-5, 1e-18), "\(type): \(got)")
    }
    let last = try #require(decoded.variables.last { $0.status != nil })
    #expect(last.status?.rawValue == vector.status)
    #expect(last.range == vector.range)
    if let noise = vector.noise { #expect(last.noise == noise) }
  }

  @Test(
    "Single values",
    arguments: [
      ("800000Am", 0.01), ("7FFFFF6m", -0.01), ("8000001i", 1), ("8000000", 0), ("8000000 ", 0), ("800000AE", 1e19),
    ])
  func single(text: String, value: Double) { #expect(near(MethodScriptValue.decode(Array(text.utf8)), value)) }

  @Test("A value that the instrument does not have is not a number, and no damage")
  func notANumber() { #expect(MethodScriptValue.decode(Array("     nan".utf8))?.isNaN == true) }

  @Test(
    "What is no value is refused", arguments: ["", "800000", "800000Ax", "80000G0m", "800000Amm", "nam", "-800000m"])
  func damaged(text: String) { #expect(MethodScriptValue.decode(Array(text.utf8)) == nil) }

  @Test("Unknown metadata are skipped, damaged ones damage the package")
  func metadata() {
    #expect(package("Pba8000001n,10,7ABC,20F")?.variables.first?.range == 0x0F)
    #expect(package("Pba8000001n,1") == nil)
    #expect(package("Pba8000001n,2G1") == nil)
    #expect(package("Pba8000001n,") == nil)
    #expect(package("P") == nil)
    #expect(package("Pba8000001n;") == nil)
  }

  @Test(
    "Literals have a whole mantissa and a prefix",
    arguments: [
      (1.5, "1500m"), (0.30000000000000004, "300m"), (2.01e-3, "2010u"), (1e-9, "1n"), (0.123456789, "123457u"),
      (1000.0005, "1k"), (123456789, "123457k"), (0, "0"), (-2, "-2"), (-0.5, "-500m"), (2e-12, "2p"), (1e-19, "0"),
      (4.2, "4200m"), (1e18, "1E"), (-123.4e-15, "-123400a"),
    ])
  func literal(value: Double, text: String) { #expect(MethodScriptValue.literal(value) == text) }

  @Test("Limits are rounded away from what they allow, by no more than they must")
  func limits() {
    #expect(MethodScriptValue.literal(4.2, rounding: .up) == "4200m")
    #expect(MethodScriptValue.literal(1.23456789, rounding: .up) == "1234570u")
    #expect(MethodScriptValue.literal(1.23456189, rounding: .down) == "1234560u")
    #expect(MethodScriptValue.literal(-1.23456189, rounding: .down) == "-1234570u")
    #expect(MethodScriptValue.literal(120.1e-12, rounding: .up) == "120100f")
  }

  @Test("Lines of a script's output are told apart")
  func lines() throws {
    func text(_ line: String) -> String { "\(MethodScriptLine(line))".prefix { $0 != "(" }.description }
    let expected = [
      "M0007": "measurementBegan", "*": "measurementEnded", "C0001": "scanBegan", "-": "scanEnded", "L": "loopBegan",
      "+": "loopEnded", "Tlimit": "text", "Z": "echo", "Y": "echo", "": "end", "!0014: Line 3": "error",
      "Pba8000001n": "package", "Pba80000": "unknown", "M00": "unknown", "*x": "unknown", "what": "unknown",
    ]
    for (line, kind) in expected { #expect(text(line) == kind, "\(line)") }
  }

  @Test("Error lines have a code with a meaning, and a place")
  func errors() throws {
    let error = try #require(MethodScriptError("!4001: Line 1, Col 27"))
    #expect(error == MethodScriptError(code: 0x4001, line: 1, column: 27))
    #expect("\(error)" == "unknown script command (4001) in line 1, column 27")
    #expect(MethodScriptError("!000C") == MethodScriptError(code: 0x000C))
    #expect(MethodScriptError("!0032: Line 12") == MethodScriptError(code: 0x0032, line: 12))
    #expect("\(MethodScriptError(code: 0x1234))".contains("1234"))
    for text in ["", "!", "!00", "!00G0", "!0001x", "0001"] { #expect(MethodScriptError(text) == nil) }
  }

  @Test("Damaged lines are never taken for more than they are, and never stop the program")
  func mutated() {
    let cases = getenv("INSITUD_FUZZ").flatMap { Int(String(cString: $0)) } ?? 40_000
    var state: UInt64 = 0x300A_0000
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
    let seeds =
      Self.vectors.map { Array($0.line.utf8) }
      + ["M0007", "!4001: Line 1, Col 27", "C0001", "Thello", "*", ""].map { Array($0.utf8) }
    var packages = 0
    for _ in 0..<cases {
      var line = seeds[random(seeds.count)]
      for _ in 0...random(4) {
        switch random(4) {
        case 0 where !line.isEmpty: line[random(line.count)] = UInt8(random(256))
        case 1 where !line.isEmpty: line.remove(at: random(line.count))
        case 2: line.insert(UInt8(random(256)), at: random(line.count + 1))
        default: line = Array(line.prefix(random(line.count + 1)))
        }
      }
      switch MethodScriptLine(String(decoding: line, as: UTF8.self)) {
      case .package(let package):
        packages += 1
        let isSane = package.variables.allSatisfy {
          ($0.value.isNaN || abs($0.value) <= 134_217_728e18) && $0.type.utf8.count == 2 && ($0.range ?? 0) <= 255
            && ($0.noise ?? 0) <= 15 && ($0.status?.rawValue ?? 0) <= 15
        }
        if !isSane || package.variables.count > line.count / 9 { Issue.record("\(line)") }
      case .error(let error): if !(0...0xFFFF).contains(error.code) { Issue.record("\(line)") }
      default: break
      }
    }
    print("MethodSCRIPT lines: \(cases) mutated cases from seed 0x300A0000, \(packages) of them still packages")
    #expect(packages > 0 && packages < cases)
  }
}
