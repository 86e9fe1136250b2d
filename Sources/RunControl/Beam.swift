package import Alignment
package import JSON
package import Journal
import Linux
import Quantities
package import RunStore

/// The beam as it was measured: the dose rate in force, which is that of the latest calibration, else the configured one.
package final class Beam: Sendable {
  private static let version: Int64 = 1
  private static let mostBytes = 1 << 16

  /// The file of the calibration; it outlives the daemon.
  package let path: String
  private let configured: DoseRate?
  private let latest: Monitor<BeamCalibration?>

  /// Reads what an earlier daemon kept. A file that cannot be read is told of and left where it is.
  package init(in data: DataDirectory, configured: DoseRate?, _ journal: Journal) {
    path = data.path + "/beam.json"
    self.configured = configured
    var found: BeamCalibration?
    if FileSystem.exists(path) {
      do throws(BeamFileError) { found = try Self.read(path) } catch {
        journal.log(
          .warning,
          "the beam's calibration cannot be read, \(error); measure again: insituctl beam calibrate")
      }
    }
    latest = Monitor(found)
  }

  package var calibration: BeamCalibration? { latest.read { $0 } }

  /// The dose rate in force; nil when nobody told or measured it.
  package var doseRate: DoseRate? { calibration?.doseRate ?? configured }

  /// Takes a calibration for the one in force. It is on the disk when this returns.
  func keep(_ calibration: BeamCalibration) throws(LinuxError) {
    let document: JSONValue = ["version": .integer(Self.version), "calibration": calibration.json]
    try FileSystem.replace(path, with: Array(document.prettyText.utf8) + [10], durably: true)
    latest.update { $0 = calibration }
  }

  /// The configured rate is in force again.
  /// - Returns: false when there was no calibration.
  func forget() throws(LinuxError) -> Bool {
    let wasThere = FileSystem.exists(path)
    FileSystem.remove(path)
    if FileSystem.exists(path) { throw LinuxError("unlink", path) }
    if wasThere { try FileSystem.synchronizeDirectory(of: path) }
    latest.update { $0 = nil }
    return wasThere
  }

  /// What a file that is no calibration lacks.
  private struct BeamFileError: Error, CustomStringConvertible { var description: String }

  private static func read(_ path: String) throws(BeamFileError) -> BeamCalibration {
    let document: JSONValue
    do { document = try JSONValue(parsing: try FileSystem.read(path, limit: mostBytes)) } catch {
      throw BeamFileError(description: "\(path): \(error)")
    }
    guard document["version"]?.integer == version else {
      throw BeamFileError(description: "\(path) is not of version \(version)")
    }
    guard let calibration = document["calibration"].flatMap(BeamCalibration.init) else {
      throw BeamFileError(description: "\(path) lacks a part of the calibration")
    }
    return calibration
  }
}

extension Beam {
  /// The rate in force for `status`; null when there is none.
  /// - Parameter now: wall time, ns.
  package func json(now: Int64) -> JSONValue {
    guard let inForce = doseRate else { return .null }
    var members: [String: JSONValue] = [
      "rate_e_per_A2_s": .number(inForce.rate.value), "uncertainty_e_per_A2_s": .number(inForce.rate.uncertainty),
    ]
    switch inForce.source {
    case .configuration:
      members["source"] = "configuration"
      members["camera"] = .null
      members["calibrated"] = .null
      members["age_s"] = .null
    case .calibration(let camera, let unixNanoseconds):
      members["source"] = "calibration"
      members["camera"] = .string(camera)
      members["calibrated"] = .string(UTCTime.text(unixNanoseconds: unixNanoseconds))
      members["age_s"] = .number(Double(now - unixNanoseconds) / 1e9)
    }
    return .object(members)
  }

  /// The same with all there is of the calibration, and with the configured rate.
  package func details(now: Int64) -> JSONValue {
    [
      "beam": json(now: now), "calibration": calibration?.json ?? .null,
      "configured": configured.map {
        ["rate_e_per_A2_s": .number($0.rate.value), "uncertainty_e_per_A2_s": .number($0.rate.uncertainty)]
      } ?? .null,
    ]
  }
}
