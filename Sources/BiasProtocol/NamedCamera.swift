import Pixels
import YAML

/// A camera that a protocol names, and where it does so first.
package struct NamedCamera: Hashable, Sendable {
  package var name: String
  /// Counted from 1; 0 when the protocol did not come from a file.
  package var line: Int
  package var column: Int

  package init(name: String, line: Int, column: Int) {
    self.name = name
    self.line = line
    self.column = column
  }
}

extension CompiledProtocol {
  /// What these cameras cannot do at all: those that are not there, and regions beyond a frame.
  package func hindrances(on planned: [PlannedCamera]) -> [ProtocolError] {
    let known = planned.map(\.name)
    var errors = cameras.filter { !known.contains($0.name) }.map { camera in
      let meant = Spelling.suggestion(for: camera.name, among: known).map { "did you mean “\($0)”?" }
      let all = known.isEmpty ? "no camera is there" : "known here: \(known.joined(separator: ", "))"
      return ProtocolError(
        line: camera.line, column: camera.column, "there is no camera “\(camera.name)”", remedy: meant ?? all)
    }
    var seen: Set<String> = []
    for step in steps where !step.recording.isOff {
      for camera in planned {
        guard let region = step.recording[camera.name].region, !region.fits(in: camera.width, camera.height),
          seen.insert("\(step.line) \(camera.name)").inserted
        else { continue }
        errors.append(
          ProtocolError(
            line: step.line, column: 1,
            "the region \(region) is beyond the \(camera.width) x \(camera.height) pixels of the camera “\(camera.name)”",
            remedy: "write a region within them"))
      }
    }
    return errors
  }
}
