import EmulatedUSB
import Glibc
import Linux
import MockUSBFS
import Quantities
import Testing
import TwinBench

/// Names a python that has what `Tests/requirements.txt` lists; nil where the variable is not set.
private let python = getenv("INSITUD_PYTHON").map { String(cString: $0) }

@Suite("Other people's USB programs take the emulated instruments for real ones")
struct OtherClientsTests {
  @Test(
    "pyusb and pyvisa-py: descriptors, drivers, claims, refusals, blocks, time limits, the cable",
    .enabled(
      if: python != nil, "INSITUD_PYTHON names no python with the packages of Tests/requirements.txt; use make test"))
  func pythonClients() throws {
    let bench = try MockBench()
    defer { bench.end() }
    let script =
      #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
      + "/usb_clients.py"
    let program = try PreloadedProgram(try #require(python), [script], root: bench.root)
    defer { program.kill() }
    var passed: [String] = []
    loop: while true {
      let line = try program.line(within: Seconds(60))
      switch line {
      case "do wait":
        let end = MonotonicTime.now + Seconds(10)
        while bench.meter.pendingCount == 0, MonotonicTime.now < end { sleepThread(for: Seconds(0.001)) }
        try program.write("")
      case "do unplug":
        bench.mock.unplug(MockBench.Port.meter)
        try program.write("")
      case "do plug":
        bench.mock.plug(MockBench.Port.meter)
        try program.write("")
      case "done": break loop
      default: passed.append(line)
      }
    }
    #expect(
      passed
        == ["enumeration", "kernel_drivers", "claims", "refusals", "blocks", "visa", "cable"].map { "passed \($0)" }
    )
    #expect(try program.waitForExit() == 0)
    #expect(bench.meter.pendingCount == 0)
  }
}
