/// One variable of a data package: a value and what the instrument says of it (methodscript.md §3).
package struct MethodScriptVariable: Sendable {
  /// Metadata 1: how the reading went.
  package struct Status: OptionSet, Hashable, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
    package static let timingNotMet = Status(rawValue: 1)
    package static let overload = Status(rawValue: 2)
    package static let underload = Status(rawValue: 4)
    package static let overloadWarning = Status(rawValue: 8)
  }

  /// Two letters: `ab` measured potential, `ba` current, `da` and `db` applied ones, `eb` time (§3, variable types).
  package var type: String
  /// In V, A or s; `.nan` when the instrument had no value.
  package var value: Double
  package var status: Status?
  /// Metadata 2: number of the range in use.
  package var range: Int?
  /// Metadata 4: the noise level, 0…15.
  package var noise: Int?
}

/// A line `P…` of a script's output.
package struct MethodScriptPackage: Sendable {
  package var variables: [MethodScriptVariable]

  /// Variables beyond these are no package.
  static let mostVariables = 64

  /// Reads a line, its `P` included; nil when it is damaged. Metadata with unknown numbers are skipped.
  package init?(line: some Collection<UInt8>) {
    guard line.first == UInt8(ascii: "P") else { return nil }
    let parts = line.dropFirst().split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
    guard parts.count <= Self.mostVariables else { return nil }
    variables = []
    for part in parts {
      guard let variable = MethodScriptVariable(Array(part)) else { return nil }
      variables.append(variable)
    }
  }

  package subscript(type: String) -> MethodScriptVariable? { variables.first { $0.type == type } }
}

extension MethodScriptVariable {
  fileprivate init?(_ text: [UInt8]) {
    let fields = text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
    let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
    guard let head = fields.first, head.count >= 2, head.prefix(2).allSatisfy({ letters.contains($0) }),
      let value = MethodScriptValue.decode(head.dropFirst(2))
    else { return nil }
    type = String(decoding: head.prefix(2), as: UTF8.self)
    self.value = value
    for field in fields.dropFirst() {
      switch field.first {
      case UInt8(ascii: "1"):
        guard field.count == 2, let bits = MethodScriptValue.hexadecimal(field.dropFirst()) else { return nil }
        status = Status(rawValue: bits)
      case UInt8(ascii: "2"):
        guard field.count == 3, let index = MethodScriptValue.hexadecimal(field.dropFirst()) else { return nil }
        range = index
      case UInt8(ascii: "4"):
        guard field.count == 2, let level = MethodScriptValue.hexadecimal(field.dropFirst()) else { return nil }
        noise = level
      case nil: return nil
      default: continue
      }
    }
  }
}
