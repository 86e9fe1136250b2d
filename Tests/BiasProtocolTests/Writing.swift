import BiasProtocol
import Linux
import Quantities
import YAML

/// A protocol with the usual limits and these lines as its steps. The steps begin in line 7.
func protocolText(_ steps: String, header: String = "") -> String {
  """
  protocol: 1
  name: test
  limits:
    voltage: [-0.5 V, 4.5 V]
    current: [-100 pA, 100 pA]
  \(header.isEmpty ? "acquire: {sample: 10 ms}" : header)
  steps:
  \(steps.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n"))
  """
}

/// Line of the first step in `protocolText`.
let firstStepLine = 8

func compiled(_ steps: String, header: String = "") throws -> CompiledProtocol {
  try CompiledProtocol(parsing: protocolText(steps, header: header))
}

/// The errors of a text, none when it compiles.
func errors(_ text: String) -> [ProtocolError] {
  do throws(ProtocolErrors) {
    _ = try CompiledProtocol(parsing: text)
    return []
  } catch { return error.errors }
}

/// A protocol of the distribution.
func distributed(_ name: String) throws -> [UInt8] {
  let root = "\(#filePath)".split(separator: "/").dropLast(3).joined(separator: "/")
  return try FileSystem.read("/\(root)/config/protocols/\(name)")
}
