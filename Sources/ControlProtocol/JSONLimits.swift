package import JSON

/// What a JSON text from a stranger may cost: looked at byte by byte before anything is built from it.
package enum JSONLimits {
  package static let maximumDepth = 32
  /// Values, counted by the separators before them.
  package static let maximumValues = 16384

  /// Parses `bytes` within the limits.
  package static func parse(_ bytes: [UInt8]) throws(ControlError) -> JSONValue {
    var depth = 0
    var values = 0
    var insideText = false
    var escaped = false
    for byte in bytes {
      if insideText {
        if escaped {
          escaped = false
        } else if byte == UInt8(ascii: "\\") {
          escaped = true
        } else if byte == UInt8(ascii: "\"") {
          insideText = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): insideText = true
      case UInt8(ascii: "["), UInt8(ascii: "{"):
        depth += 1
        values += 1
      case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
      case UInt8(ascii: ","): values += 1
      default: break
      }
      if depth > maximumDepth {
        throw ControlError(.malformed, "JSON nested more than \(maximumDepth) deep is not taken")
      }
      if values > maximumValues {
        throw ControlError(.malformed, "JSON of more than \(maximumValues) values is not taken")
      }
    }
    do throws(JSONError) {
      return try JSONValue(parsing: bytes)
    } catch {
      throw ControlError(
        .malformed, error.description, remedy: "Send one JSON-RPC 2.0 request as UTF-8 in one message part.")
    }
  }
}
