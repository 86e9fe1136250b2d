/// One line of what a running script puts out (methodscript.md §3).
package enum MethodScriptLine: Sendable {
  /// A measurement loop begins; its technique (0x0000 LSV, 0x0007 CA, 0x000A CP, 0x000B OCP).
  case measurementBegan(technique: Int)
  case measurementEnded
  case scanBegan(Int)
  case scanEnded
  case loopBegan
  case loopEnded
  case package(MethodScriptPackage)
  /// `send_string`.
  case text(String)
  /// A run-time command was taken: Z abort, Y end of the measurement, h halt, H resume, R reverse.
  case echo(Character)
  case error(MethodScriptError)
  /// The empty line at the end of a script.
  case end
  /// Belongs to nothing known: damaged on the way, or of a newer firmware.
  case unknown(String)

  package init(_ text: String) {
    let bytes = Array(text.utf8)
    guard let first = bytes.first else {
      self = .end
      return
    }
    let rest = bytes.dropFirst()
    self = .unknown(text)
    switch Character(Unicode.Scalar(first)) {
    case "M":
      if rest.count == 4, let technique = MethodScriptValue.hexadecimal(rest) {
        self = .measurementBegan(technique: technique)
      }
    case "C": if rest.count == 4, let scan = MethodScriptValue.hexadecimal(rest) { self = .scanBegan(scan) }
    case "*": if rest.isEmpty { self = .measurementEnded }
    case "-": if rest.isEmpty { self = .scanEnded }
    case "L": if rest.isEmpty { self = .loopBegan }
    case "+": if rest.isEmpty { self = .loopEnded }
    case "P": if let package = MethodScriptPackage(line: bytes) { self = .package(package) }
    case "T": self = .text(String(decoding: rest, as: UTF8.self))
    case "!": if let error = MethodScriptError(text) { self = .error(error) }
    case "Z", "Y", "h", "H", "R":
      if rest.isEmpty { self = .echo(Character(Unicode.Scalar(first))) }
    default: break
    }
  }
}
