package import EmulatedUSB
package import Quantities

/// A SCPI interpreter: cuts program messages into commands, finds each in the device's table, queues errors and answers.
package final class SCPIInstrument<Device: SCPIDevice>: MessageInstrument {
  /// Program message units that may wait behind one that takes its time.
  static var maximumWaitingUnits: Int { 1024 }

  private struct Unit {
    var words: [String]
    var isQuery: Bool
    var arguments: [String]
    var isLast = false
  }

  private enum Waiting {
    case reply(MonotonicTime, (Device, MonotonicTime) throws(SCPIError) -> [UInt8])
    /// For the end of all operations: `*OPC?` with an answer, `*WAI` without.
    case operations(answer: [UInt8]?)
  }

  package let device: Device
  private let table: [SCPICommand<Device>]
  private var found: [String: Int] = [:]
  private var units: [Unit] = []
  private var waiting: Waiting?
  private var answers: [[UInt8]] = []
  private var output: [UInt8]?
  private var opcIsArmed = false
  /// Logical time of the last thing done; a command that waited starts where the wait ended.
  private var time = MonotonicTime(nanoseconds: .min)

  package init(_ device: Device) {
    self.device = device
    table = Device.commands + Self.common
  }

  // MARK: MessageInstrument

  package func receive(_ message: [UInt8], at now: MonotonicTime) {
    run(until: now)
    if waiting == nil && units.isEmpty { time = max(time, now) }
    var bytes = message[...]
    while let last = bytes.last, last == 10 || last == 13 || last == 32 { bytes.removeLast() }
    guard bytes.count <= device.maximumMessage, units.count < Self.maximumWaitingUnits else {
      device.status.report(.inputOverrun)
      return
    }
    parse(Array(bytes))
    run(until: now)
  }

  package func response(at now: MonotonicTime) -> [UInt8]? {
    run(until: now)
    defer { output = nil }
    return output
  }

  package var isResponseDue: Bool {
    if output != nil || !answers.isEmpty || units.contains(where: \.isQuery) { return true }
    switch waiting {
    case .reply, .operations(answer: .some): return true
    case .operations(answer: nil), nil: return false
    }
  }

  package func dropResponse(_ reason: QueryError?, at now: MonotonicTime) {
    run(until: now)
    output = nil
    answers = []
    units = []
    waiting = nil
    switch reason {
    case .interrupted: device.status.report(.interrupted)
    case .unterminated: device.status.report(.unterminated)
    case nil: break
    }
  }

  package func clear(at now: MonotonicTime) {
    dropResponse(nil, at: now)
    opcIsArmed = false
  }

  package func trigger(at now: MonotonicTime) {
    device.advance(to: now)
    do throws(SCPIError) { try device.trigger(at: now) } catch { device.status.report(error) }
  }

  package func statusByte(at now: MonotonicTime) -> UInt8 { device.status.statusByte(messageAvailable: output != nil) }
  package func usbLost(at now: MonotonicTime) { device.usbLost(at: now) }
  package func usbRestored(at now: MonotonicTime) { device.usbRestored(at: now) }

  package func tick(_ now: MonotonicTime) {
    run(until: now)
    device.advance(to: now)
    if opcIsArmed, let end = device.operationsEnd(at: now), end <= now {
      opcIsArmed = false
      device.status.event |= SCPIStatus.EventBit.operationComplete
    }
  }

  // MARK: parsing

  private func parse(_ bytes: [UInt8]) {
    guard bytes.allSatisfy({ $0 >= 32 && $0 < 127 || $0 == 9 }) else {
      device.status.report(.invalidCharacter)
      return
    }
    var path: [String] = []
    var parsed: [Unit] = []
    for text in Self.split(bytes, at: UInt8(ascii: ";")) {
      let unit = String(decoding: text, as: UTF8.self).trimmedBlanks
      if unit.isEmpty { continue }
      let head = unit.prefix { $0 != " " && $0 != "\t" }
      let rest = Array(unit.dropFirst(head.count).utf8)
      let isQuery = head.hasSuffix("?")
      var words = (isQuery ? head.dropLast() : head).uppercased().split(
        separator: ":", omittingEmptySubsequences: false
      ).map(String.init)
      if head.hasPrefix("*") {
        // A common command leaves the path as it is (IEEE 488.2 §7.6.1.5).
      } else if head.hasPrefix(":") {
        words.removeFirst()
        path = words.dropLast()
      } else {
        words = path + words
        path = words.dropLast()
      }
      let arguments = Self.split(rest, at: UInt8(ascii: ",")).map {
        String(decoding: $0, as: UTF8.self).trimmedBlanks
      }
      let none = arguments.count == 1 && arguments[0].isEmpty
      parsed.append(Unit(words: words, isQuery: isQuery, arguments: none ? [] : arguments))
    }
    guard !parsed.isEmpty else { return }
    parsed[parsed.count - 1].isLast = true
    units += parsed
  }

  /// Cuts at a separator that is not inside quotes or parentheses.
  private static func split(_ bytes: [UInt8], at separator: UInt8) -> [ArraySlice<UInt8>] {
    var parts: [ArraySlice<UInt8>] = []
    var start = 0
    var quote: UInt8?
    var depth = 0
    for (index, byte) in bytes.enumerated() {
      if let open = quote {
        if byte == open { quote = nil }
      } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
        quote = byte
      } else if byte == UInt8(ascii: "(") {
        depth += 1
      } else if byte == UInt8(ascii: ")") {
        depth -= 1
      } else if byte == separator && depth <= 0 {
        parts.append(bytes[start..<index])
        start = index + 1
      }
    }
    return parts + [bytes[start...]]
  }

  // MARK: execution

  private func run(until now: MonotonicTime) {
    while true {
      if waiting != nil { guard resume(until: now) else { return } }
      guard !units.isEmpty else { return }
      let unit = units.removeFirst()
      device.advance(to: time)
      do throws(SCPIError) {
        try execute(unit)
        if waiting == nil { end(unit) } else { afterWait = unit }
      } catch {
        fail(error, unit)
      }
    }
  }
  /// The unit that `waiting` belongs to.
  private var afterWait: Unit?

  /// Ends a wait whose time has come; false while it has not.
  private func resume(until now: MonotonicTime) -> Bool {
    guard let pending = waiting, let unit = afterWait else { return true }
    do throws(SCPIError) {
      switch pending {
      case .reply(let due, let answer):
        guard due <= now else { return false }
        time = max(time, due)
        device.advance(to: time)
        answers.append(try answer(device, time))
      case .operations(let answer):
        device.advance(to: now)
        guard let end = device.operationsEnd(at: now), end <= now else { return false }
        time = max(time, end)
        if let answer { answers.append(answer) }
      }
      waiting = nil
      end(unit)
    } catch {
      waiting = nil
      fail(error, unit)
    }
    return true
  }

  private func end(_ unit: Unit) {
    guard unit.isLast, !answers.isEmpty else { return }
    output = Array(answers.joined(separator: [UInt8(ascii: ";")])) + [10]
    answers = []
  }

  private func fail(_ error: SCPIError, _ unit: Unit) {
    device.status.report(error)
    // After a command error the rest of the message means nothing; after others it goes on.
    var last = unit
    if (-199 ... -100).contains(error.code) {
      while !last.isLast, !units.isEmpty { last = units.removeFirst() }
    }
    end(last)
  }

  private func execute(_ unit: Unit) throws(SCPIError) {
    let call = SCPICall(arguments: unit.arguments, time: time)
    switch (unit.words[0], unit.isQuery) {
    case ("*OPC", false): return opcIsArmed = true
    case ("*OPC", true): return waiting = .operations(answer: [UInt8(ascii: "1")])
    case ("*WAI", false): return waiting = .operations(answer: nil)
    case ("*CLS", false):
      opcIsArmed = false
      return device.status.clear()
    case ("*RST", false):
      opcIsArmed = false
      return device.reset(at: time)
    case ("*STB", true):
      return answers.append(Array(String(device.status.statusByte(messageAvailable: output != nil)).utf8))
    default: break
    }
    let command = try find(unit)
    guard unit.isQuery else {
      guard let set = command.set else { throw .undefinedHeader }
      return try set(device, call)
    }
    guard let query = command.query else { throw .undefinedHeader }
    switch try query(device, call) {
    case .bytes(let bytes): answers.append(bytes)
    case .later(let due, let answer): waiting = .reply(due, answer)
    }
  }

  private func find(_ unit: Unit) throws(SCPIError) -> SCPICommand<Device> {
    let key = unit.words.joined(separator: ":")
    if let index = found[key] { return table[index] }
    guard let index = table.firstIndex(where: { $0.pattern.matches(unit.words) }) else { throw .undefinedHeader }
    if found.count < 1024 { found[key] = index }
    return table[index]
  }
}
