import Glibc
import Linux
import Quantities
import Testing

@testable import NanobatteryTwin

@Suite("The truth beside the data")
struct TruthTests {
  @Test("Cell, events, frames and clocks are written with their columns")
  func files() throws {
    let directory = "/tmp/insitu-truth-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    defer {
      for name in (try? FileSystem.list(directory)) ?? [] { FileSystem.remove("\(directory)/\(name)") }
      rmdir(directory)
    }
    let clock = DeviceClock(offset: Seconds(1), driftPPM: 10)
    let truth = try TruthRecorder(
      directory: directory, clocks: .init(potentiostat: clock, holder: clock, camera: clock))
    let start = MonotonicTime(nanoseconds: 5_000_000_000)
    let world = World(WorldSettings(seed: 2, start: start, truth: truth))
    world.setTerminal(.current(2e-12, voltageLimit: 5), at: start)
    world.advance(to: start + Seconds(0.1))
    world.setContacts(closed: true, at: start + Seconds(0.1))
    world.advance(to: start + Seconds(0.6))
    world.note("output on, \"first\"", at: start + Seconds(0.6))
    truth.append(
      TruthRecorder.FrameRow(
        series: 1, frameNumber: 7, start: start, stop: start + Seconds(0.0024), voltageMean: 3.5, currentMean: 2e-12,
        charge: 1e-12, sent: false))
    truth.close()

    func lines(_ name: String) throws -> [Substring] {
      String(decoding: try FileSystem.read("\(directory)/\(name)"), as: UTF8.self).split(separator: "\n")
    }
    let cell = try lines("cell.csv")
    #expect(cell[0] == "raw_ns,voltage_V,current_A,charge_C")
    #expect(cell.count == 501)
    let last = try #require(cell.last).split(separator: ",").compactMap { Double($0) }
    #expect(last[0] == 5_600_000_000)
    #expect(abs(last[2] - 2e-12) < 1e-18)
    #expect(abs(last[3] - 1e-12) < 1e-18)
    let charged = cell.dropFirst().reduce(0.0) { $0 + (Double($1.split(separator: ",")[2]) ?? .nan) * 1e-3 }
    #expect(abs(charged - last[3]) < 1e-18)
    #expect(
      try lines("events.csv") == [
        "raw_ns,text", "5100000000,contacts closed", "5600000000,\"output on, \"\"first\"\"\"",
      ])
    #expect(try lines("frames.csv")[1] == "1,7,5000000000,5002400000,3.5,2e-12,1e-12,0")
    #expect(try lines("clocks.csv").count >= 2)
  }

  @Test("A directory that cannot be made is an error that names it")
  func refused() {
    #expect(throws: LinuxError.self) { try TruthRecorder(directory: "/proc/insitu-truth") }
  }
}
