import Quantities

extension MethodScriptMachine {
  /// A measurement loop at work.
  struct Measurement {
    var technique: MethodScriptTechnique
    var outputs: [String]
    /// What is applied at each point, V or A.
    var levels: [Double]
    var interval: Seconds
    /// When the point that is being taken began.
    var pointBegan: MonotonicTime
    var index = 0
    /// The script took longer over a point than there was time.
    var isLate = false
    var end: Int
  }

  static let mostPoints = 10_000_000

  func beginMeasurement(
    _ technique: MethodScriptTechnique, _ arguments: [Double], _ outputs: [String], end: Int
  ) throws(MethodScriptFault) {
    if technique == .ocp {
      guard !cellDriver.isCellOn else { throw MethodScriptFault(code: 0x0014) }
    } else {
      guard cellDriver.isGalvanostat == technique.isGalvanostatic else { throw MethodScriptFault(code: 0x0023) }
      guard cellDriver.isCellOn else { throw MethodScriptFault(code: 0x4027) }
    }
    let (levels, interval) = try points(technique, arguments)
    guard interval > 0, interval.isFinite else { throw MethodScriptFault(code: 0x4205) }
    frames.append(
      .measurement(
        Measurement(
          technique: technique, outputs: outputs, levels: levels, interval: Seconds(interval), pointBegan: cursor,
          end: end)))
    put("M" + MethodScriptText.hexadecimal(technique.number, 4))
    takePoint(0)
  }

  /// What is applied point by point, and s between points.
  private func points(_ technique: MethodScriptTechnique, _ arguments: [Double]) throws(MethodScriptFault)
    -> (levels: [Double], interval: Double)
  {
    func count(_ number: Double) throws(MethodScriptFault) -> Int {
      guard number.isFinite, number >= 0, number < Double(Self.mostPoints) else {
        throw MethodScriptFault(code: 0x4205)
      }
      return Int(number)
    }
    switch technique {
    case .ocp:
      return (Array(repeating: 0, count: max(1, try count((arguments[1] / arguments[0]).rounded()))), arguments[0])
    case .ca, .cp:
      let points = max(1, try count((arguments[2] / arguments[1]).rounded()))
      return (Array(repeating: arguments[0], count: points), arguments[1])
    case .lsv, .lsp, .cv:
      let (step, rate) = (arguments[arguments.count - 2], arguments[arguments.count - 1])
      guard step > 0, rate > 0 else { throw MethodScriptFault(code: 0x4204) }
      let corners =
        technique == .cv ? [arguments[0], arguments[1], arguments[2], arguments[0]] : Array(arguments[..<2])
      var levels = [corners[0]]
      for (from, to) in zip(corners, corners.dropFirst()) {
        let steps = try count((abs(to - from) / step + 1e-6).rounded(.down))
        guard steps > 0 || technique == .cv else { throw MethodScriptFault(code: 0x4029) }
        levels += (0..<steps).map { from + Double($0 + 1) * (to < from ? -step : step) }
      }
      return (levels, step / rate)
    }
  }

  /// Applies the level of a point; its reading ends an interval later.
  func takePoint(_ index: Int) {
    guard case .measurement(var measurement)? = frames.popLast() else { return }
    let planned = measurement.pointBegan + (index == 0 ? .zero : measurement.interval)
    measurement.isLate = index > 0 && cursor > planned + measurement.interval
    measurement.pointBegan = index == 0 || measurement.isLate ? cursor : planned
    measurement.index = index
    frames.append(.measurement(measurement))
    let end = measurement.pointBegan + measurement.interval
    // The level is set when its point begins; the body of the point before may still be at work then.
    cursor = max(cursor, measurement.pointBegan)
    wait(.zero) { [unowned self] () throws(MethodScriptFault) in
      if index == 0 || measurement.levels[index] != measurement.levels[index - 1] {
        try cellDriver.apply(measurement.technique, measurement.levels[index], at: cursor)
      }
      wait(end - cursor) { [unowned self] () throws(MethodScriptFault) in try readPoint(measurement) }
    }
  }

  private func readPoint(_ measurement: Measurement) throws(MethodScriptFault) {
    try failIfWanted()
    let begin = measurement.pointBegan
    let late = measurement.isLate ? 1 : 0
    let outputs = measurement.outputs
    func note(_ reading: PalmSensCellDriver.Reading, _ name: String, _ type: String) {
      variables[name] = Variable(value: reading.value, type: type, status: reading.status | late, range: reading.range)
    }
    switch measurement.technique {
    case .ocp: note(cellDriver.voltage(from: begin, to: cursor), outputs[0], "ab")
    case .cp, .lsp:
      note(cellDriver.voltage(from: begin, to: cursor), outputs[0], "ab")
      note(cellDriver.current(from: begin, to: cursor), outputs[1], "ba")
    case .ca, .lsv, .cv:
      variables[outputs[0]] = Variable(value: cellDriver.potential, type: "da")
      note(cellDriver.current(from: begin, to: cursor), outputs[1], "ba")
    }
  }

  /// `meas`: one reading.
  func measure(_ span: Seconds, _ name: String, _ type: String) throws(MethodScriptFault) {
    guard type == "ab" || type == "ba" else { throw MethodScriptFault(code: 0x0002) }
    let begin = cursor
    wait(max(span, Seconds(1e-3))) { [unowned self] () throws(MethodScriptFault) in
      try failIfWanted()
      let reading =
        type == "ab" ? cellDriver.voltage(from: begin, to: cursor) : cellDriver.current(from: begin, to: cursor)
      variables[name] = Variable(value: reading.value, type: type, status: reading.status, range: reading.range)
    }
  }

  private func failIfWanted() throws(MethodScriptFault) {
    guard let code = failsNextReading else { return }
    failsNextReading = nil
    throw MethodScriptFault(code: code)
  }
}
