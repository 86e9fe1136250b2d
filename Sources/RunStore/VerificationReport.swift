package import JSON

/// What checking a stored run found.
package struct VerificationReport: Sendable {
  package struct Finding: Hashable, Sendable {
    package enum Kind: String, Sendable {
      case ledger, gap, index, pixels, header, database
    }

    package var kind: Kind
    /// The file, and the byte in it where what is wrong begins; nil where there is no such place.
    package var file: String
    package var offset: Int64?
    package var text: String

    package var description: String {
      offset.map { "\(file) at byte \($0): \(text)" } ?? "\(file): \(text)"
    }
  }

  /// Findings beyond this many are counted, not listed.
  static let mostFindings = 1000

  package var id: String
  package var framesChecked: UInt64 = 0
  package var bytesChecked: Int64 = 0
  package private(set) var findings: [Finding] = []
  package private(set) var unlisted = 0

  package var isSound: Bool { findings.isEmpty }

  mutating func found(_ kind: Finding.Kind, _ file: String, at offset: Int64? = nil, _ text: String) {
    guard findings.count < Self.mostFindings else {
      unlisted += 1
      return
    }
    findings.append(Finding(kind: kind, file: file, offset: offset, text: text))
  }

  package var json: JSONValue {
    [
      "id": .string(id), "sound": .bool(isSound), "frames_checked": .integer(Int64(framesChecked)),
      "bytes_checked": .integer(bytesChecked), "unlisted": .integer(Int64(unlisted)),
      "findings": .array(
        findings.map {
          [
            "kind": .string($0.kind.rawValue), "file": .string($0.file), "offset": .optional($0.offset),
            "text": .string($0.text),
          ]
        }),
    ]
  }
}
