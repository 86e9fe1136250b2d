import Quantities

extension Keithley2450 {
  static var triggerCommands: [SCPICommand<Keithley2450>] {
    [
      SCPICommand(":TRIGger:LOAD", set: { (smu, call) throws(SCPIError) in try smu.load(call) }),
      SCPICommand(
        ":INITiate[:IMMediate]",
        set: { (smu, call) throws(SCPIError) in
          guard !smu.isRunning else { throw .settingsConflict }
          guard smu.program.isEmpty else { return try smu.startBlocks(at: call.time) }
          guard let loop = smu.loop, smu.buffers[loop.buffer] != nil else { throw .execution }
          smu.buffers[loop.buffer]?.clear()
          // "When you start this trigger model, the output is turned on" (2450 manual, Duration Loop).
          smu.setOutput(true, at: call.time)
          smu.running = RunningLoop(loop: loop, start: call.time, next: call.time)
        }),
      SCPICommand(":ABORt", 
        set: { smu, _ in
          smu.running = nil
          smu.blockRun = nil
        }),
      SCPICommand(
        ":TRIGger:STATe", query: { smu, _ in .text(!smu.isRunning ? "IDLE;IDLE;0" : "RUNNING;RUNNING;3") }),
    ]
  }

  /// Blocks must be numbered from 1 without a gap.
  private func startBlocks(at now: MonotonicTime) throws(SCPIError) {
    guard (1...program.count).allSatisfy({ program[$0] != nil }) else { throw .execution }
    events = [:]
    blockRun = BlockRun(time: now)
  }

  /// `"DurationLoop",<s>,<delay s>,"buffer"`, `"SimpleLoop",<count>,<delay s>,"buffer"` or `"Empty"`.
  private func load(_ call: SCPICall) throws(SCPIError) {
    guard !isRunning else { throw .settingsConflict }
    let name = try call.quoted(0).uppercased()
    program = [:]
    if name == "EMPTY" { return loop = nil }
    guard name == "DURATIONLOOP" || name == "SIMPLELOOP" else { throw .illegalValue }
    try call.expect(2...4)
    var loop = LoadedLoop(delay: 0, buffer: "defbuffer1")
    if name == "DURATIONLOOP" {
      loop.duration = try call.number(1, in: 0...100_000)
    } else {
      loop.count = try call.integer(1, in: 1...268_435_455)
    }
    if call.arguments.count > 2 {
      // 0 for none, else 50 µs and more (2450 manual, :TRIG:LOAD:LOOP:DUR).
      loop.delay = try call.number(2, in: 0...10_000, default: 0)
      guard loop.delay == 0 || loop.delay >= 50e-6 else { throw .outOfRange }
    }
    if call.arguments.count > 3 {
      loop.buffer = try call.quoted(3)
      guard buffers[loop.buffer] != nil else { throw .illegalValue }
    }
    self.loop = loop
  }
}
