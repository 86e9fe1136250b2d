package import Quantities

/// One block of a trigger model.
enum TriggerBlock: Equatable {
  case clearBuffer(String)
  /// Waits for an edge on one of these digital lines; line 0 is `*TRG`.
  case wait([Int])
  case delay(Double)
  case measure(String)
  case notify(Int)
  case branchAlways(Int)
  case branchCount(Int, to: Int)
  case output(Bool)
  case nothing
}

/// A digital line of the rear connector.
struct DigitalLine {
  enum Mode: Equatable { case digitalIn, digitalOut, triggerIn, triggerOut }
  var mode = Mode.digitalIn
  /// Of the notify block whose event makes a pulse here.
  var stimulus: Int?
  var pulseWidth = 10e-6
}

/// A trigger model made of blocks, at work.
struct BlockRun {
  var position = 1
  /// When the block at `position` was reached.
  var time: MonotonicTime
  var lastEnd: MonotonicTime?
  var counts: [Int: Int] = [:]
}

extension Keithley2450 {
  static let digitalLines = 1...6
  /// Blocks that a trigger model may have (2450 manual, trigger blocks: 63).
  private static let blocks = 1...63
  /// A model whose blocks take no time ends with an error after so many.
  private static let mostBlocksAtOnce = 100_000

  var isRunning: Bool { running != nil || blockRun != nil }

  /// A pulse that comes in from outside on a digital line.
  package func pulse(line: Int, at now: MonotonicTime) {
    advance(to: now)
    guard lines[line]?.mode == .triggerIn else { return }
    noteEvent(line, at: now)
  }

  /// An event is remembered from the start of the model until the wait block that it lets pass is left (2450 manual,
  /// `:TRIGger:BLOCk:WAIT`).
  func noteEvent(_ line: Int, at now: MonotonicTime) {
    guard blockRun != nil else { return }
    if events[line] == nil { events[line] = now }
    advance(to: now)
  }

  /// Carries out all blocks whose time has come.
  func advanceBlocks(to now: MonotonicTime) {
    var done = 0
    while var run = blockRun {
      done += 1
      guard done < Self.mostBlocksAtOnce else {
        blockRun = nil
        return status.report(.execution)
      }
      guard let block = program[run.position] else {
        blockRun = nil
        return
      }
      var next = run.position + 1
      switch block {
      case .wait(let wanted):
        guard let event = wanted.compactMap({ events[$0] }).min() else { return }
        events = [:]
        run.time = max(run.time, event)
      case .delay(let seconds):
        guard run.time + Seconds(seconds) <= now else { return }
        run.time = run.time + Seconds(seconds)
      case .measure(let buffer):
        let begin = max(run.time, run.lastEnd.map { $0 + settings.overhead } ?? run.time)
        let end = begin + measuringTime(senseFunction)
        guard end <= now else { return }
        buffers[buffer]?.append(reading(from: begin, to: end))
        run.time = end
        run.lastEnd = end
      case .notify(let number):
        for (line, state) in lines.sorted(by: { $0.key < $1.key })
        where state.mode == .triggerOut && state.stimulus == number {
          if outputPulses.count >= Self.mostPulsesKept { outputPulses.removeFirst() }
          outputPulses.append(OutputPulse(line: line, time: run.time, width: Seconds(state.pulseWidth)))
        }
      case .clearBuffer(let buffer): buffers[buffer]?.clear()
      case .branchAlways(let to): next = to
      case .branchCount(let count, let to):
        let counted = run.counts[run.position, default: 0] + 1
        run.counts[run.position] = counted < count ? counted : 0
        if counted < count { next = to }
      case .output(let isOn): setOutput(isOn, at: run.time)
      case .nothing: break
      }
      run.position = next
      blockRun = run
    }
  }

  static var blockCommands: [SCPICommand<Keithley2450>] {
    func block(_ header: String, _ make: @escaping (Keithley2450, SCPICall) throws(SCPIError) -> TriggerBlock)
      -> SCPICommand<Keithley2450>
    {
      SCPICommand(
        ":TRIGger:BLOCk:\(header)",
        set: { (smu, call) throws(SCPIError) in
          let place = try call.integer(0, in: Keithley2450.blocks)
          let block = try make(smu, call)
          guard !smu.isRunning else { throw .settingsConflict }
          smu.loop = nil
          smu.program[place] = block
        })
    }
    func buffer(_ smu: Keithley2450, _ call: SCPICall) throws(SCPIError) -> String {
      guard call.arguments.count > 1 else { return "defbuffer1" }
      let name = try call.quoted(1)
      guard smu.buffers[name] != nil else { throw .illegalValue }
      return name
    }
    return [
      block("BUFFer:CLEar") { (smu, call) throws(SCPIError) in .clearBuffer(try buffer(smu, call)) },
      block("MEASure") { (smu, call) throws(SCPIError) in .measure(try buffer(smu, call)) },
      block("WAIT") { (_, call) throws(SCPIError) in .wait(try events(call)) },
      block("DELay:CONStant") { (_, call) throws(SCPIError) in .delay(try call.number(1, in: 167e-9...10_000)) },
      block("NOTify") { (_, call) throws(SCPIError) in .notify(try call.integer(1, in: 1...8)) },
      block("BRANch:ALWays") { (_, call) throws(SCPIError) in .branchAlways(try call.integer(1, in: blocks)) },
      block("BRANch:COUNter") { (_, call) throws(SCPIError) in
        .branchCount(try call.integer(1, in: 1...268_435_455), to: try call.integer(2, in: blocks))
      },
      block("SOURce:STATe") { (_, call) throws(SCPIError) in .output(try call.flag(1)) },
      block("NOP") { (_, _) throws(SCPIError) in .nothing },
    ]
  }

  /// The events of a wait block: `DIG1`, or several after `OR`.
  private static func events(_ call: SCPICall) throws(SCPIError) -> [Int] {
    var events: [Int] = []
    for index in 1..<max(2, call.arguments.count) {
      let word = try call.argument(index).uppercased()
      if word == "OR" { continue }
      if SCPIPattern.isForm(word, of: "COMMand") {
        events.append(0)
      } else if let line = digitalLines.first(where: { SCPIPattern.isForm(word, of: "DIGio\($0)") }) {
        events.append(line)
      } else {
        throw .illegalValue
      }
    }
    return events
  }

  static var digitalLineCommands: [SCPICommand<Keithley2450>] {
    digitalLines.flatMap { line in
      [
        SCPICommand<Keithley2450>(
          ":DIGital:LINE\(line):MODE",
          set: { (smu, call) throws(SCPIError) in
            let isTrigger = try call.keyword(0, [("TRIGger", true), ("DIGital", false)])
            let isOut = try call.keyword(1, [("OUT", true), ("IN", false)])
            smu.lines[line, default: DigitalLine()].mode =
              isTrigger ? (isOut ? .triggerOut : .triggerIn) : (isOut ? .digitalOut : .digitalIn)
          },
          query: { smu, _ in
            let mode = smu.lines[line]?.mode ?? .digitalIn
            return .text(
              "\(mode == .triggerIn || mode == .triggerOut ? "TRIG" : "DIG"),"
                + (mode == .triggerOut || mode == .digitalOut ? "OUT" : "IN"))
          }),
        SCPICommand(
          ":TRIGger:DIGital\(line):OUT:STIMulus",
          set: { (smu, call) throws(SCPIError) in
            let choices = [("NONE", Int?.none)] + (1...8).map { ("NOTify\($0)", Int?($0)) }
            smu.lines[line, default: DigitalLine()].stimulus = try call.keyword(choices)
          }),
        SCPICommand(
          ":TRIGger:DIGital\(line):OUT:PULSewidth",
          set: { (smu, call) throws(SCPIError) in
            smu.lines[line, default: DigitalLine()].pulseWidth = try call.number(in: 0...100_000, default: 10e-6)
          }),
        SCPICommand(
          ":TRIGger:DIGital\(line):OUT:LOGic",
          set: { (_, call) throws(SCPIError) in try call.keyword([("POSitive", ()), ("NEGative", ())]) }),
        SCPICommand(
          ":TRIGger:DIGital\(line):IN:EDGE",
          set: { (_, call) throws(SCPIError) in
            try call.keyword([("RISing", ()), ("FALLing", ()), ("EITHer", ())])
          }),
        SCPICommand(":TRIGger:DIGital\(line):IN:CLEar", set: { smu, _ in smu.events[line] = nil }),
      ]
    }
  }
}
