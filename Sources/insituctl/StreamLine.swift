import ControlProtocol
import JSON

/// A published message as one JSON document: its header with the topic, and in each part its values where they are few,
/// else its size.
enum StreamLine {
  /// A batch of samples has up to 100 values a column; a picture has many more.
  static let mostValues = 1024

  static func document(_ message: StreamMessage) -> JSONValue {
    var members = message.header.object ?? [:]
    members["topic"] = .string(message.topic)
    let described = members["parts"]?.array ?? []
    members["parts"] = .array(
      described.enumerated().map { index, part in
        guard index < message.parts.count, var known = part.object else { return part }
        let bytes = message.parts[index].count
        known["nbytes"] = .integer(Int64(bytes))
        if let name = known["name"]?.string, bytes <= 8 * mostValues, let values = message.numbers(name),
          values.count <= mostValues
        {
          known["values"] = .array(values)
        }
        return .object(known)
      })
    return .object(members)
  }
}
