import Glibc
import Linux
import NanobatteryTwin
import Quantities
import Testing
import TwinBench

@testable import Potentiostat

/// Names a python that has `labmcp-palmsens` (on PyPI, Apache-2.0): a MethodSCRIPT client without any code of ours.
private let python = getenv("INSITUD_PYTHON").map { String(cString: $0) }

@Suite(
  "MethodSCRIPT instruments and a public client",
  .enabled(if: python != nil, "INSITUD_PYTHON names no python with labmcp-palmsens"))
struct PalmSensClientTests {
  @Test(
    "The client identifies, measures, is refused and aborts over a pseudo-terminal, and decodes as we do",
    arguments: [(PalmSensHardware.emStat4LR, "EmStat4 LR", 2), (.emStatPico, "EmStat Pico", 4)])
  func agrees(hardware: PalmSensHardware, model: String, mode: Int) throws {
    let start = MonotonicTime.now
    var cell = CellParameters()
    cell.curve.base = 0.9
    let world = World(WorldSettings(cell: cell, seed: 1, start: start))
    world.setContacts(closed: true, at: start)
    let instrument = MethodScriptInstrument(
      hardware, cell: world, clock: DeviceClock(offset: Seconds(0), driftPPM: 20, origin: start))
    let terminal = try PseudoTerminal(instrument)
    defer { terminal.end() }

    let script = #filePath.split(separator: "/").dropLast(2).map { "/" + $0 }.joined() + "/methodscript_client.py"
    let pipe = try #require(popen("\(python!) \(script) \(terminal.path) \(mode) 60 2>&1", "r"))
    var facts: [[String]] = []
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, 4096, pipe) != nil {
      let text = String(decoding: line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      facts.append(text.split(separator: "\t", omittingEmptySubsequences: false).map(String.init))
    }
    #expect(pclose(pipe) == 0, "\(facts.suffix(8))")

    func only(_ kind: String) -> [[String]] { facts.filter { $0.first == kind }.map { Array($0.dropFirst()) } }
    #expect(only("identity").first?.first == model)
    #expect(only("identity").first?.last == hardware.serial)
    #expect(only("script").map { $0.prefix(4).joined(separator: " ") } == ["ca 10  0", "lsv 11  0", "cv 21  0"])
    #expect(only("rejected").first?.first?.contains("4001") == true)
    #expect(only("runtime").first?.first?.contains("0014") == true && only("runtime").first?.last == "True")
    #expect(only("abort").first?.prefix(2) == ["True", "True"])
    terminal.end()
    #expect(!instrument.isCellOn && !instrument.isRunning)

    var compared = 0
    for package in only("package") {
      // The client's transport strips what ends a line, and so the space of a plain number.
      let ours = try #require(MethodScriptPackage(line: Array(package[0].utf8)))
      #expect(ours.variables.count == package.count - 1)
      for (variable, theirs) in zip(ours.variables, package.dropFirst()) {
        let parts = theirs.split(separator: "=").map(String.init)
        let value = try #require(Double(parts[1]))
        #expect(variable.type == parts[0])
        #expect(abs(variable.value - value) <= abs(value) * 1e-12)
        #expect("\(variable.status?.rawValue ?? 0)" == parts[2] && "\(variable.range ?? -1)" == parts[3])
        compared += 1
      }
    }
    print("\(model): \(compared) values of \(only("package").count) packages decode alike")
    #expect(compared == 42 * 3)
  }
}
