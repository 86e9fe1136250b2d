import Glibc
package import Linux
package import Quantities

/// The file of a recording, written by a thread of its own: whoever speaks to an instrument never waits for a disk.
package final class TranscriptWriter: Sendable {
  private struct State {
    var waiting: [UInt8] = []
    var length = 0
    /// Why the recording ended early.
    var cause: String?
    var isEnding = false
    var isDone = false
  }

  /// What may wait for the disk; a slower one ends the recording.
  package static let mostWaiting = 16 << 20

  package let path: String
  private let start: MonotonicTime
  private let state = Monitor(State())
  private let mostBytes: Int
  private let told: @Sendable (String) -> Void

  /// - Parameters:
  ///   - path: of a file that need not exist; one that does is begun anew unless `exclusive`.
  ///   - told: called once, in one sentence, if the recording ends before `end`.
  package init(
    path: String, _ head: TranscriptHead, exclusive: Bool, mostBytes: Int = Transcript.mostBytes,
    told: @escaping @Sendable (String) -> Void
  ) throws(LinuxError) {
    self.path = path
    self.mostBytes = mostBytes
    self.told = told
    start = .now
    let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | (exclusive ? O_EXCL : O_TRUNC))
    let writing = OpenFile(file)
    _ = NamedThread("usb-record") { [self] in write(to: writing) }
    append(head.text)
  }

  /// A noncopyable descriptor for a closure.
  private final class OpenFile: Sendable {
    let descriptor: FileDescriptor
    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
  }

  /// Adds an entry with the present time; never waits.
  package func add(_ entry: TranscriptEntry) { append("\(timeText(MonotonicTime.now - start)) \(entry.text)\n") }

  private func append(_ text: String) {
    state.update { state in
      guard state.cause == nil, !state.isEnding else { return }
      let count = text.utf8.count
      if state.length + count > mostBytes {
        state.cause = "it would become longer than \(mostBytes) bytes"
      } else if state.waiting.count + count > Self.mostWaiting {
        state.cause = "the disk does not keep up"
      } else {
        state.waiting += text.utf8
        state.length += count
      }
    }
  }

  /// Writes what waits, and ends.
  /// - Returns: true when all was written within `limit`.
  @discardableResult
  package func end(within limit: Seconds = Seconds(1)) -> Bool {
    state.update { $0.isEnding = true }
    return state.wait(atMost: limit) { $0.isDone ? $0.cause == nil : nil } ?? false
  }

  /// Why the recording ended early, in words; nil while it has not.
  package var cause: String? { state.read { $0.cause } }

  private func write(to file: OpenFile) {
    var offset: Int64 = 0
    while true {
      let (chunk, isLast) =
        state.wait(atMost: Seconds(3600)) { state -> ([UInt8], Bool)? in
          let isLast = state.isEnding || state.cause != nil
          guard isLast || !state.waiting.isEmpty else { return nil }
          defer { state.waiting = [] }
          return (state.waiting, isLast)
        } ?? ([], false)
      do throws(LinuxError) {
        try write(chunk, to: file, at: offset)
        offset += Int64(chunk.count)
      } catch {
        state.update { $0.cause = $0.cause ?? error.reason }
        // Half a line is of no use, and what it takes is room for the note.
        do throws(LinuxError) { try file.descriptor.truncate(to: offset) } catch {}
        break
      }
      if isLast { break }
    }
    if let cause = state.read({ $0.cause }) {
      do throws(LinuxError) {
        try write(Array("# the recording ends here: \(cause)\n".utf8), to: file, at: offset)
      } catch {}
      told("the recording \(path) has ended: \(cause)")
    }
    state.update { $0.isDone = true }
  }

  private func write(_ bytes: [UInt8], to file: OpenFile, at offset: Int64) throws(LinuxError) {
    var failure: LinuxError?
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(LinuxError) { unsafe try file.descriptor.write(buffer, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Seconds with six decimals.
  private func timeText(_ span: Seconds) -> String {
    let microseconds = max(0, span.nanoseconds / 1000)
    let rest = String(microseconds % 1_000_000)
    return "\(microseconds / 1_000_000)." + String(repeating: "0", count: 6 - rest.count) + rest
  }
}
