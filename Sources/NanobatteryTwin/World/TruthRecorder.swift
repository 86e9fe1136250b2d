internal import CLinux
internal import Glibc
package import Linux
package import Quantities

/// Writes down what really happened: `cell.csv`, `frames.csv`, `clocks.csv` and `events.csv` in a directory.
///
/// Callers only append to memory. A thread writes every quarter of a second, so that a killed twin loses less than a
/// second. The first line of each file names its columns; what they mean is said beside the row types below.
package final class TruthRecorder: Sendable {
  /// A row of `cell.csv`, every millisecond while the contacts are closed.
  struct CellRow: Sendable {
    var raw_ns: Int64
    /// V at the terminals at `raw_ns`.
    var voltage_V: Double
    /// A, mean since the row before (at most a few ms).
    var current_A: Double
    /// C through the source's terminals since the contacts closed.
    var charge_C: Double
  }

  /// A row of `frames.csv`, one per exposure begun.
  package struct FrameRow: Sendable {
    package var series: UInt64
    package var frameNumber: UInt64
    /// True start and end of the exposure, host time.
    package var start: MonotonicTime
    package var stop: MonotonicTime
    /// V and A at the terminals, means over the exposure.
    package var voltageMean: Double
    package var currentMean: Double
    /// C since the contacts closed, at `stop`.
    package var charge: Double
    /// False when the frame was lost at the source.
    package var sent: Bool
  }

  /// The three device clocks, for `clocks.csv`.
  package struct Clocks: Sendable {
    package var potentiostat: DeviceClock
    package var holder: DeviceClock
    package var camera: DeviceClock
    package init(potentiostat: DeviceClock, holder: DeviceClock, camera: DeviceClock) {
      self.potentiostat = potentiostat
      self.holder = holder
      self.camera = camera
    }
  }

  private struct Pending {
    var cell: [CellRow] = []
    var frames: [FrameRow] = []
    var events: [(raw_ns: Int64, text: String)] = []
    var omitted: UInt64 = 0
  }

  /// Rows of each kind waiting for the writer; beyond it they are left out and counted.
  static let pendingLimit = 1 << 16
  /// Bytes per file; then a line in `events.csv` says that the file ends here.
  static let fileLimit: Int64 = 2 << 30
  private static let interval = Seconds(0.25)

  package let directory: String
  private let pending = Monitor(Pending())
  /// Apart from `pending`, so that a new row wakes nobody.
  private let closing = Monitor(false)
  private let report: @Sendable (String) -> Void
  private let thread = Monitor<NamedThread?>(nil)

  /// Makes the directory and begins the files anew.
  /// - Parameter report: told once when a file cannot be written any more.
  package init(
    directory: String, clocks: Clocks? = nil, report: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(LinuxError) {
    self.directory = directory
    self.report = report
    try FileSystem.makeDirectories(directory)
    let cell = try CSVFile(directory + "/cell.csv", "raw_ns,voltage_V,current_A,charge_C")
    let frames = try CSVFile(
      directory + "/frames.csv",
      "series,frame_number,start_raw_ns,stop_raw_ns,voltage_mean_V,current_mean_A,charge_C,sent")
    let clockFile = try CSVFile(directory + "/clocks.csv", "raw_ns,potentiostat_ns,holder_ns,camera_ns")
    let events = try CSVFile(directory + "/events.csv", "raw_ns,text")
    let writer = Writer(cell: cell, frames: frames, clockFile: clockFile, events: events, clocks: clocks)
    thread.update { $0 = NamedThread("twin-truth") { [self] in run(writer) } }
  }

  func append(_ row: CellRow) {
    pending.update { rows in
      if rows.cell.count < Self.pendingLimit { rows.cell.append(row) } else { rows.omitted += 1 }
    }
  }

  package func append(_ row: FrameRow) {
    pending.update { rows in
      if rows.frames.count < Self.pendingLimit { rows.frames.append(row) } else { rows.omitted += 1 }
    }
  }

  package func event(_ text: String, at time: MonotonicTime) {
    pending.update { rows in
      if rows.events.count < Self.pendingLimit {
        rows.events.append((time.nanoseconds, text))
      } else {
        rows.omitted += 1
      }
    }
  }

  /// Writes what is left and ends the thread.
  package func close() {
    closing.update { $0 = true }
    thread.read { $0 }?.join()
  }

  private func run(_ writer: Writer) {
    var failed = false
    var nextClock = MonotonicTime.now
    while true {
      let isClosing = closing.wait(atMost: Self.interval) { $0 ? true : nil } ?? false
      let batch = pending.update { rows in
        let taken = rows
        rows = Pending()
        return taken
      }
      if !failed {
        do {
          try writer.write(batch.cell, batch.frames, batch.events, omitted: batch.omitted)
          if MonotonicTime.now >= nextClock || isClosing {
            try writer.writeClocks(.now)
            nextClock = nextClock + Seconds(1)
          }
        } catch {
          failed = true
          report("truth in \(directory) ends here: \(error)")
        }
      }
      if isClosing { return }
    }
  }
}

/// The files, used by the writing thread alone.
private final class Writer: @unchecked Sendable {
  private let cell: CSVFile
  private let frames: CSVFile
  private let clockFile: CSVFile
  private let events: CSVFile
  private let clocks: TruthRecorder.Clocks?

  init(cell: CSVFile, frames: CSVFile, clockFile: CSVFile, events: CSVFile, clocks: TruthRecorder.Clocks?) {
    self.cell = cell
    self.frames = frames
    self.clockFile = clockFile
    self.events = events
    self.clocks = clocks
  }

  func write(
    _ cellRows: [TruthRecorder.CellRow], _ frameRows: [TruthRecorder.FrameRow],
    _ eventRows: [(raw_ns: Int64, text: String)], omitted: UInt64
  ) throws(LinuxError) {
    var full = try cell.append(
      cellRows.map { "\($0.raw_ns),\($0.voltage_V),\($0.current_A),\($0.charge_C)\n" }.joined())
    full += try frames.append(
      frameRows.map {
        "\($0.series),\($0.frameNumber),\($0.start.nanoseconds),\($0.stop.nanoseconds),\($0.voltageMean),"
          + "\($0.currentMean),\($0.charge),\($0.sent ? 1 : 0)\n"
      }.joined())
    var notes = eventRows
    let now = MonotonicTime.now.nanoseconds
    full.forEach { notes.append((now, "\($0) has reached its limit of \(TruthRecorder.fileLimit) bytes and ends")) }
    if omitted > 0 { notes.append((now, "\(omitted) rows of truth left out: the writer was too slow")) }
    _ = try events.append(notes.map { "\($0.raw_ns),\(quoted($0.text))\n" }.joined())
  }

  func writeClocks(_ now: MonotonicTime) throws(LinuxError) {
    guard let clocks else { return }
    _ = try clockFile.append(
      "\(now.nanoseconds),\(clocks.potentiostat.device(at: now)),\(clocks.holder.device(at: now)),"
        + "\(clocks.camera.device(at: now))\n")
  }

  /// A field as RFC 4180 wants it.
  private func quoted(_ text: String) -> String {
    guard text.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return text }
    return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
  }
}

/// A file that grows by whole lines, up to the limit.
private final class CSVFile {
  private let file: FileDescriptor
  private let path: String
  private var size: Int64 = 0
  private var isFull = false

  init(_ path: String, _ columns: String) throws(LinuxError) {
    self.path = path
    file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
    _ = try append(columns + "\n")
  }

  /// - Returns: the path when the file has just become full.
  func append(_ lines: String) throws(LinuxError) -> [String] {
    guard !lines.isEmpty, !isFull else { return [] }
    let bytes = Array(lines.utf8)
    guard size + Int64(bytes.count) <= TruthRecorder.fileLimit else {
      isFull = true
      return [path]
    }
    var failure: LinuxError?
    let offset = size
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(LinuxError) { unsafe try file.write(buffer, at: offset) } catch { failure = error }
    }
    if let failure { throw LinuxError(failure.call, path, number: failure.number) }
    size += Int64(bytes.count)
    return []
  }
}
