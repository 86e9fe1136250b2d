internal import JSON

/// What a ROUTER socket received, read.
package enum ControlIncoming: Equatable, Sendable {
  /// To be carried out; answer with `ControlServerCodec.message(_:to:)`.
  case request(ControlRequest, envelope: [[UInt8]])
  /// Not to be carried out: the message to send back.
  case refused([[UInt8]])
  /// Neither to be carried out nor answered; why.
  case dropped(String)
}

/// Turns messages of a ROUTER socket into requests, and replies into messages. Pure: no socket, no state.
///
/// A DEALER's message arrives as [identity, JSON], that of a REQ socket as [identity, "", JSON]; what stands before the
/// JSON is the envelope, and goes back in front of the reply.
package enum ControlServerCodec {
  /// Also to be given to the socket (`setMaximumMessageSize`), which then disconnects who sends more.
  package static let maximumMessageBytes = 1 << 20

  /// Reads one message as the ROUTER socket gives it, identity first.
  package static func decode(_ parts: [[UInt8]]) -> ControlIncoming {
    guard parts.count >= 2 else { return .dropped("a message without content") }
    let content: [UInt8]
    let envelope: [[UInt8]]
    switch parts.count {
    case 2: (envelope, content) = ([parts[0]], parts[1])
    case 3 where parts[1].isEmpty: (envelope, content) = ([parts[0], []], parts[2])
    default:
      let known = parts[1].isEmpty ? [parts[0], []] : [parts[0]]
      return refuse(
        ControlError(
          .invalidRequest, "a message of \(parts.count - 1) parts", remedy: "Send one request as one message part."),
        known)
    }
    guard content.count <= maximumMessageBytes else {
      return refuse(
        ControlError(
          .invalidRequest, "a message of \(content.count) bytes", remedy: "At most \(maximumMessageBytes) are taken."),
        envelope)
    }
    do throws(ControlReply.Refusal) {
      return .request(try ControlRequest(parsing: content), envelope: envelope)
    } catch {
      guard let message = message(error.reply, to: envelope) else {
        return .dropped("a notification that cannot be carried out")
      }
      return .refused(message)
    }
  }

  /// The message that carries `reply` back; nil when the request was a notification.
  package static func message(_ reply: ControlReply, to envelope: [[UInt8]]) -> [[UInt8]]? {
    reply.bytes.map { envelope + [$0] }
  }

  private static func refuse(_ error: ControlError, _ envelope: [[UInt8]]) -> ControlIncoming {
    .refused(envelope + [ControlReply(id: .null, error).bytes ?? []])
  }
}
