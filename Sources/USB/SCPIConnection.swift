package import Quantities

/// Lines of SCPI over USBTMC. Owned by the instrument's thread.
package final class SCPIConnection {
  /// An ordinary answer takes milliseconds. With the recovery after it, a call whose answer stays out ends within two
  /// seconds: the cell may be waiting for its safe state. What measures or settles before it answers has limits of its own.
  package static let answerPatience = Seconds(1.2)

  private let messages: USBTMC
  package let name: String

  package init(_ messages: USBTMC, name: String) {
    self.messages = messages
    self.name = name
  }

  /// Opens the device on the bus. Nothing is sent but what reads its descriptors and capabilities.
  package static func open(_ wanted: USBMatch, on bus: any USBBus, name: String) throws(InstrumentError)
    -> SCPIConnection
  {
    do throws(USBError) {
      let transport = try bus.open(wanted, .usbtmc, name: name)
      do throws(USBError) { return SCPIConnection(try USBTMC(transport, name: name), name: name) } catch {
        transport.close()
        throw error
      }
    } catch { throw .wire(error) }
  }

  package func close() { messages.close() }

  /// Sends commands that have no answer.
  package func send(_ command: String, within limit: Seconds = answerPatience) throws(InstrumentError) {
    do throws(USBError) {
      try messages.write(Array(command.utf8) + [10], isQuery: command.utf8.last == UInt8(ascii: "?"), within: limit)
    } catch { throw .wire(error) }
  }

  /// Sends a query; its answer without the line end.
  package func query(_ command: String, within limit: Seconds = answerPatience) throws(InstrumentError) -> String {
    String(decoding: try queryBytes(command, within: limit), as: UTF8.self)
  }

  /// Reads an answer that is there already, or that comes of itself; without the line end.
  package func read(within limit: Seconds = answerPatience) throws(InstrumentError) -> String {
    do throws(USBError) {
      var answer = try messages.read(within: limit)
      while let last = answer.last, last == 10 || last == 13 || last == 0 { answer.removeLast() }
      return String(decoding: answer, as: UTF8.self)
    } catch { throw .wire(error) }
  }

  /// The answer as bytes, trimmed by bytes: "\r\n" is one `Character` in Swift.
  package func queryBytes(_ command: String, within limit: Seconds = answerPatience) throws(InstrumentError) -> [UInt8]
  {
    do throws(USBError) {
      var answer = try messages.query(Array(command.utf8) + [10], within: limit)
      while let last = answer.last, last == 10 || last == 13 || last == 0 { answer.removeLast() }
      return answer
    } catch { throw .wire(error) }
  }

  /// The bytes of the block that answers a query, definite (`#nLLL…`) or indefinite (`#0…`). They are counted: a line
  /// feed among them is a byte like any other.
  /// - Parameter most: a longer answer is refused, and cleared away.
  package func queryBlock(_ command: String, most: Int = 1 << 24, within limit: Seconds = answerPatience)
    throws(InstrumentError) -> [UInt8]
  {
    let answer: [UInt8]
    do throws(USBError) {
      answer = try messages.query(Array(command.utf8) + [10], most: most, within: limit)
    } catch { throw .wire(error) }
    if let content = SCPIBlock.content(of: answer) { return content }
    let beginning = String(decoding: answer.prefix(40), as: UTF8.self)
    throw .unexpected(
      device: name, command: command, answer: "\(beginning)… (\(answer.count) bytes that are not one whole block)")
  }

  // MARK: status, trigger, front panel (USB488)

  /// The status byte, read beside the messages: the instrument may be busy, and an answer that is due stays due.
  package func statusByte() throws(InstrumentError) -> UInt8 {
    do throws(USBError) { return try messages.statusByte() } catch .stalled {
      throw .unable(device: name, reason: "it has no READ_STATUS_BYTE (no USB488 interface); ask *STB? instead")
    } catch { throw .wire(error) }
  }

  /// How often the instrument has requested service since it was opened.
  package var serviceRequests: Int { messages.serviceRequests }

  /// The bus trigger: what `*TRG` would do, without a command to be parsed.
  package func trigger() throws(InstrumentError) {
    let isDone: Bool
    do throws(USBError) { isDone = try messages.trigger() } catch { throw .wire(error) }
    guard isDone else {
      throw .unable(device: name, reason: "it does not declare the trigger message; send *TRG instead")
    }
  }

  /// Gives the front panel back to the operator; nothing is sent to a device that does not declare RL1.
  package func goToLocal() throws(InstrumentError) {
    do throws(USBError) { _ = try messages.goToLocal() } catch { throw .wire(error) }
  }

  /// Sends commands and asks the instrument's error queue whether all were taken.
  package func apply(_ commands: String...) throws(InstrumentError) {
    for command in commands {
      try send(command)
      let errors = try drainErrors()
      if !errors.isEmpty { throw .refused(device: name, command: command, errors: errors) }
    }
  }

  /// Asks who the instrument is. Changes nothing in it.
  /// - Throws: `unexpected` when it is not one that `isExpected` takes.
  package func identify(_ isExpected: (InstrumentIdentity) -> Bool) throws(InstrumentError) -> InstrumentIdentity {
    let answer = try query("*IDN?")
    let parts = answer.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    if parts.count == 4 {
      let identity = InstrumentIdentity(manufacturer: parts[0], model: parts[1], serial: parts[2], firmware: parts[3])
      if isExpected(identity) { return identity }
    }
    throw .unexpected(device: name, command: "*IDN?", answer: answer)
  }

  /// Everything in the error queue, oldest first; at most 64 entries.
  package func drainErrors() throws(InstrumentError) -> [String] {
    var errors: [String] = []
    for _ in 0..<64 {
      let entry = try query(":SYST:ERR?")
      if entry.hasPrefix("0,") || entry.hasPrefix("+0,") { break }
      errors.append(entry)
    }
    return errors
  }

  /// Device clear: whatever was under way is forgotten.
  package func clear() throws(InstrumentError) {
    do throws(USBError) { try messages.clear() } catch { throw .wire(error) }
  }
}
