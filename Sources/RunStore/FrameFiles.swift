import Linux

/// A camera of a run: which one it is, and what it is called.
package struct RunCamera: Hashable, Sendable {
  /// The one camera of a laboratory that has only one.
  package static let first = RunCamera(id: 0, name: "camera")

  /// 0 for the first; its files carry no name.
  package let id: Int
  package let name: String

  /// Positions that a camera's frames have in a run's database: frame p of camera c is row c × 2⁴⁰ + p.
  private static let positionBits: Int64 = 40

  /// The row of a frame of this camera.
  /// - Parameter position: among the frames of the camera.
  package func row(of position: UInt64) -> Int64 { Int64(id) << Self.positionBits | Int64(position) }
  /// What is in a row's number: the position among the frames of the camera.
  package static func position(ofRow row: Int64) -> UInt64 { UInt64(row & (1 << positionBits - 1)) }

  package init(id: Int, name: String) {
    self.id = id
    self.name = name
  }
}

/// The files of one camera's frames in the directory of a run: `frames-0000.mrc` (`.bsf` when compressed) and
/// `frames-0000.idx` of the first camera, `frames-NAME-0000.mrc` and so on of others.
package struct FrameFiles: Hashable, Sendable {
  /// The directory they are in.
  package let directory: String
  package let camera: RunCamera

  package init(_ run: RunDirectory, _ camera: RunCamera) { self.init(in: run.path, camera) }

  /// - Parameter directory: of a run, or of frames that were taken out of one.
  package init(in directory: String, _ camera: RunCamera) {
    self.directory = directory
    self.camera = camera
  }

  package func pixelsPath(_ segment: Int, _ format: SegmentFormat = .plain) -> String { path(segment) + format.ending }
  package func indexPath(_ segment: Int) -> String { path(segment) + ".idx" }

  /// Numbers of the segments of which pixels or index are there, ascending.
  package func segments() throws(RunStoreError) -> [Int] {
    do throws(LinuxError) {
      let names = try FileSystem.list(directory)
      return Array(Set(names.compactMap(segment))).sorted()
    } catch {
      throw RunStoreError(error)
    }
  }

  private var prefix: String { camera.id == 0 ? "frames-" : "frames-\(camera.name)-" }

  private func path(_ segment: Int) -> String { "\(directory)/\(prefix)\(Self.number(segment))" }

  private func segment(_ name: String) -> Int? {
    guard name.hasPrefix(prefix), [".mrc", ".bsf", ".idx"].contains(String(name.suffix(4))) else { return nil }
    let number = name.dropFirst(prefix.count).dropLast(4)
    return number.allSatisfy(\.isNumber) ? Int(number) : nil
  }

  /// "0007": at least four digits, so that names sort.
  private static func number(_ segment: Int) -> String {
    let text = String(segment)
    return String(repeating: "0", count: max(0, 4 - text.count)) + text
  }
}
