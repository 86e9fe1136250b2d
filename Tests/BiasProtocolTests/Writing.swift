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

/// A protocol that says everything there is about recording.
let recordingText = protocolText(
  """
  - Record every 10th frame at 400 fps
  - Rest for 1 s
  - Record frames at 400 fps, keep 10 fps
  - Rest for 1 s
  - Record averages of 8 frames at 400 fps
  - Rest for 1 s
  - Record no frames
  - repeat: 2
    steps:
      - Keep the last 2.5 s
      - Charge at 2 pA for 1 s:
          record: none at 100 fps
      - Hold at 4 V for 1 s:
          record:
            rate: 400 fps
            average: 8
            region: 256 x 128 at 64, 32
  - Rest for 10 s:
      record:
        keep: every 10th
        trigger: {when: "region 3 < -1.5", before: 10 s, after: 5 s}
  - Rest for 10 s:
      record:
        cameras:
          image: {rate: 400 fps, keep: none, trigger: {when: saturated > 10, after: 250 ms}}
          diffraction pattern: {rate: 100 fps, keep: 50 fps, region: 512 × 512 at 0, 0}
          hologram: off
  - Keep the last 1 min
  """)

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
