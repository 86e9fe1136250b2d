/// An answer to a command of USB/IP.
package struct USBIPReply: Equatable, Sendable {
  package var status: Int32
  package var bytes: [UInt8]

  package init(status: Int32, bytes: [UInt8]) {
    self.status = status
    self.bytes = bytes
  }
}

/// The commands of one USB/IP connection that the server has not answered. An answer says how many bytes it has, not
/// whether they follow: so a command that nobody waits for any more is remembered until its answer has been read.
package struct USBIPCommands: Sendable {
  /// Answers that the server may owe for commands given up.
  package static let mostAbandoned = 64

  private struct Command {
    var mostBytes = 0
    var unlinks: UInt32?
    var isAbandoned = false
  }

  private var lastSequence: UInt32
  private var commands: [UInt32: Command] = [:]
  private var replies: [UInt32: USBIPReply] = [:]

  package init(lastSequence: UInt32 = 0) { self.lastSequence = lastSequence }

  /// - Parameter mostBytes: that were asked for and follow the answer.
  /// - Returns: the sequence number to send.
  package mutating func beginTransfer(mostBytes: Int) -> UInt32 { begin(Command(mostBytes: mostBytes)) }

  /// The command that takes the transfer `sequence` back.
  package mutating func beginUnlink(of sequence: UInt32) -> UInt32 { begin(Command(unlinks: sequence)) }

  /// Numbers wrap after 2³² commands, which are weeks; 0 is none, and old ones may still be out.
  private mutating func begin(_ command: Command) -> UInt32 {
    repeat { lastSequence &+= 1 } while lastSequence == 0 || commands[lastSequence] != nil
    commands[lastSequence] = command
    return lastSequence
  }

  /// How many bytes may follow the answer to `sequence`; nil when no answer is due.
  package func mostBytes(after sequence: UInt32) -> Int? { commands[sequence]?.mostBytes }

  /// Takes an answer in.
  package mutating func take(_ reply: USBIPReply, to sequence: UInt32) {
    guard let command = commands.removeValue(forKey: sequence) else { return }
    // A transfer that was taken back in time gets no answer of its own: USBIP_RET_UNLINK says −ECONNRESET then, and 0
    // when the transfer had ended before (usbip_protocol.rst).
    if let unlinked = command.unlinks, reply.status != 0 { commands[unlinked] = nil }
    if !command.isAbandoned { replies[sequence] = reply }
  }

  /// The answer, once.
  package mutating func reply(to sequence: UInt32) -> USBIPReply? { replies.removeValue(forKey: sequence) }

  /// Nobody waits for `sequence` any more.
  /// - Returns: false when the server owes too many answers; such a connection is of no use.
  package mutating func leave(_ sequence: UInt32) -> Bool {
    replies[sequence] = nil
    commands[sequence]?.isAbandoned = true
    return commands.count { $0.value.isAbandoned } <= Self.mostAbandoned
  }
}
