import EmulatedUSB
package import Quantities

/// A MethodSCRIPT potentiostat behind a serial line: commands, their echoes and errors, and scripts (methodscript.md §2).
package final class MethodScriptInstrument: ByteStreamInstrument {
  package struct Settings: Sendable {
    package var common = TwinPotentiostatSettings()
    /// Which of two accounts of a runtime error is right: an empty line follows it (§2.6).
    package var endsErrorsWithEmptyLine = true
    package init() {}
  }

  package let hardware: PalmSensHardware
  package let serial: String
  let machine: MethodScriptMachine
  private let driver: PalmSensCellDriver
  private var input: [UInt8] = []
  private var output: [UInt8] = []
  /// A script that is coming in line by line, after `l` or `e`.
  private var upload: (command: String, lines: [String])?
  private var loaded: MethodScriptProgram?
  private var stored: MethodScriptProgram?
  private var deafUntil: MonotonicTime?
  private var isConnected = true
  /// Every line that came, for tests; the oldest go.
  package private(set) var received: [String] = []

  private static let longestLine = 255
  private static let mostOutput = 1 << 18
  private static let mostReceived = 5000
  /// After an error it ignores its input (§2).
  private static let deafness = Seconds(0.1)

  package init(
    _ hardware: PalmSensHardware, _ settings: Settings = Settings(), cell: any CellSide, clock: any InstrumentClock
  ) {
    self.hardware = hardware
    serial = settings.common.serial ?? hardware.serial
    driver = PalmSensCellDriver(hardware, settings.common, cell: cell)
    machine = MethodScriptMachine(driver, clock: clock, endsErrorsWithEmptyLine: settings.endsErrorsWithEmptyLine)
    // XON at power-up (§1).
    if hardware.isFTDI { output = [0x11] }
  }

  package var isCellOn: Bool { driver.isCellOn }
  package var cellOnSince: MonotonicTime? { driver.onSince }
  package var isRunning: Bool { machine.isRunning }

  /// Tests: the next reading of a script ends with this runtime error.
  package func failNextReading(code: Int) { machine.failsNextReading = code }

  // MARK: Line

  package func receive(_ bytes: [UInt8], at now: MonotonicTime) {
    isConnected = true
    advance(to: now)
    for byte in bytes {
      if let until = deafUntil {
        if now < until { continue }
        deafUntil = nil
        input = []
      }
      guard byte == 0x0A else {
        // A line that is too long is kept as long as it takes to see that.
        if input.count <= Self.longestLine { input.append(byte) }
        continue
      }
      let line = String(decoding: input, as: UTF8.self)
      input = []
      if received.count < Self.mostReceived { received.append(line) }
      take(line, at: now)
    }
    advance(to: now)
  }

  package func transmit(_ most: Int, at now: MonotonicTime) -> [UInt8] {
    advance(to: now)
    let bytes = Array(output.prefix(most))
    output.removeFirst(bytes.count)
    return bytes
  }

  package func lineStateChanged(dtr: Bool, rts: Bool, at now: MonotonicTime) { if dtr { isConnected = true } }

  /// The script goes on, and the cell stays polarised (§2.7); what nobody reads is lost.
  package func usbLost(at now: MonotonicTime) {
    isConnected = false
    input = []
    output = []
  }

  package func tick(_ now: MonotonicTime) { advance(to: now) }

  private func advance(to now: MonotonicTime) {
    machine.run(until: now)
    for line in machine.takeLines() { put(line) }
  }

  private func put(_ line: String) {
    guard isConnected else { return }
    let bytes = Array(line.utf8) + [0x0A]
    guard output.count + bytes.count <= Self.mostOutput else { return }
    output += bytes
  }

  // MARK: Commands

  private func refuse(_ echo: some StringProtocol, _ fault: MethodScriptFault, at now: MonotonicTime) {
    put(echo + fault.text)
    deafUntil = now + Self.deafness
  }

  private func take(_ line: String, at now: MonotonicTime) {
    if line.utf8.count > Self.longestLine {
      upload = nil
      return refuse(line.prefix(1), MethodScriptFault(code: 0x0008), at: now)
    }
    if var upload {
      if !line.isEmpty {
        upload.lines.append(line)
        self.upload = upload
        return
      }
      self.upload = nil
      return finish(upload.command, upload.lines, at: now)
    }
    guard !line.isEmpty else { return }
    if machine.isRunning { return takeWhileRunning(line, at: now) }
    switch line {
    case "t":
      put("t" + hardware.firmware[0])
      for more in hardware.firmware.dropFirst() { put(more + (more.hasSuffix("*") ? "" : "*")) }
    case "i": put("i" + serial)
    case "v": put("v01.09.00")
    // Captured from an EmStat4 LR (§2).
    case "CC": put("CC000000000000000000000000000000000000002F0000003FFFFF98FF00000002")
    case "CM": put("CM000000000000000000000000000003FFFFBFE8FFFFFFFFFFFFFFFFFFFFBFFFFE")
    case "l", "e": upload = (line, [])
    case "r":
      guard let loaded else { return refuse("r", MethodScriptFault(code: 0x000C), at: now) }
      put("r")
      machine.start(loaded, at: now)
    case "Fmscr":
      guard loaded != nil else { return refuse("F", MethodScriptFault(code: 0x000C), at: now) }
      stored = loaded
      put("F")
    case "Lmscr":
      guard let stored else { return refuse("L", MethodScriptFault(code: 0x000C), at: now) }
      loaded = stored
      put("L")
    case "Z", "Y", "h", "H", "R": refuse(line, MethodScriptFault(code: 0x0006), at: now)
    default: refuse(line.prefix(1), MethodScriptFault(code: line.hasPrefix("G") ? 0x0004 : 0x0003), at: now)
    }
  }

  private func takeWhileRunning(_ line: String, at now: MonotonicTime) {
    switch line {
    case "Z", "Y", "h", "H":
      put(line)
      if line == "Z" { machine.abort(at: now) }
      if line == "Y" { machine.endMeasurement(at: now) }
      if line == "h" || line == "H" { machine.halt(line == "h", at: now) }
    default: refuse(line.prefix(1), MethodScriptFault(code: 0x0006), at: now)
    }
  }

  private func finish(_ command: String, _ lines: [String], at now: MonotonicTime) {
    do throws(MethodScriptFault) {
      let program = try MethodScriptProgram(lines)
      put(command)
      loaded = program
      if command == "e" { machine.start(program, at: now) }
    } catch {
      loaded = nil
      refuse(command, error, at: now)
    }
  }
}
