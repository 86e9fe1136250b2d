package import Quantities

/// Lines of SCPI over USBTMC. Owned by the instrument's thread.
package final class SCPIConnection {
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
  package func send(_ command: String, within limit: Seconds = Seconds(2)) throws(InstrumentError) {
    do throws(USBError) { try messages.write(Array(command.utf8) + [10], within: limit) } catch { throw .wire(error) }
  }

  /// Sends a query; its answer without the line end.
  package func query(_ command: String, within limit: Seconds = Seconds(2)) throws(InstrumentError) -> String {
    String(decoding: try queryBytes(command, within: limit), as: UTF8.self)
  }

  /// The answer as bytes, trimmed by bytes: "\r\n" is one `Character` in Swift.
  package func queryBytes(_ command: String, within limit: Seconds = Seconds(2)) throws(InstrumentError) -> [UInt8] {
    do throws(USBError) {
      try messages.write(Array(command.utf8) + [10], within: limit)
      var answer = try messages.read(within: limit)
      while let last = answer.last, last == 10 || last == 13 || last == 0 { answer.removeLast() }
      return answer
    } catch { throw .wire(error) }
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
