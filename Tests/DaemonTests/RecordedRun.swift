import ControlProtocol
import Glibc
import JSON
import Linux
import Quantities
import RunStore
import SQLite

/// One short run of all sentences, recorded once and looked at by several tests.
final class RecordedRun: @unchecked Sendable {
  let shown: JSONValue
  let directory: RunDirectory
  let truth: Truth
  private let laboratory: Laboratory

  static let shared: Result<RecordedRun, any Error> = Result { try RecordedRun() }
  /// The files live as long as this process, which removes them when it ends.
  nonisolated(unsafe) private static var kept: Laboratory?

  private init() throws {
    laboratory = try Laboratory()
    try laboratory.startDaemon()
    let client = try laboratory.client()
    let id = try laboratory.start(
      client,
      """
      - Record frames at 50 fps
      - mark: open circuit
      - Rest for 1 s
      - Charge at 2 pA for 5 s or until 3.5 V
      - Hold at 3.5 V for 1 s
      - Rest for 1 s
      """, name: "short")
    shown = try laboratory.ended(client)
    directory = try laboratory.directory(id)
    truth = laboratory.truth
    // The twin writes the rest of its truth when it ends.
    laboratory.daemon?.send(SIGTERM)
    _ = try laboratory.daemon?.waitForExit()
    Self.kept = laboratory
    atexit { RecordedRun.kept?.end() }
  }

  func database() throws -> Database { try RunDatabase.open(directory, .readOnly).database }
}
