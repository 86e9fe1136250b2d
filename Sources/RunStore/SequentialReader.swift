import Glibc
import Linux
import Quantities

/// Reads a file from its beginning to its end at the speed of the disk: with `O_DIRECT`, several reads under way while the
/// pieces before are looked at. Used by one thread.
@safe
final class SequentialReader {
  private static let pieceBytes = 4 << 20
  private static let pieces = 4
  private static let patience = Seconds(1)

  @safe
  private final class Piece {
    private let memory = AlignedBuffer(count: pieceBytes, onLargePages: true)
    /// What its read gave; nil while it is under way.
    var result: Int?
    var bytes: UnsafeMutableRawBufferPointer { unsafe memory.bytes }
  }

  let size: Int64
  private let file: FileDescriptor
  private var isDirect: Bool
  private let queue = makeFileQueue(limit: pieces)
  private let memory = (0..<pieces).map { _ in Piece() }
  /// Pieces that were asked for, and pieces that were given out.
  private var asked = 0
  private var given = 0

  /// - Parameter direct: false: through the page cache, as where the file system cannot do without.
  init(_ path: String, direct: Bool = true) throws(LinuxError) {
    var direct = direct
    file = try Self.open(path, direct: &direct)
    isDirect = direct
    size = try file.size()
  }

  deinit { while given < asked, let end = queue.next(atMost: Self.patience) { note(end) } }

  private static func open(_ path: String, direct: inout Bool) throws(LinuxError) -> FileDescriptor {
    if direct {
      do throws(LinuxError) {
        return try FileDescriptor.open(path, O_RDONLY, direct: true)
      } catch {
        guard error.number == EINVAL else { throw error }
        direct = false
      }
    }
    return try FileDescriptor.open(path, O_RDONLY)
  }

  private var pieceCount: Int { Int((size + Int64(Self.pieceBytes) - 1) / Int64(Self.pieceBytes)) }

  /// The next bytes of the file, empty at its end. They are there until the next call.
  func next() throws(LinuxError) -> UnsafeRawBufferPointer {
    // All but the piece that was given out last may be read into.
    while asked < pieceCount && asked < given + Self.pieces - (given > 0 ? 1 : 0) { ask() }
    guard given < pieceCount else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
    let offset = Int64(given) * Int64(Self.pieceBytes)
    let piece = memory[given % Self.pieces]
    while piece.result == nil { if let end = queue.next(atMost: Self.patience) { note(end) } }
    let wanted = Int(min(Int64(Self.pieceBytes), size - offset))
    var count = min(piece.result ?? 0, wanted)
    if count < wanted { count = try read(piece, from: max(0, count), of: wanted, at: offset) }
    given += 1
    return unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(piece.bytes)[..<count])
  }

  private func ask() {
    let piece = memory[asked % Self.pieces]
    piece.result = nil
    unsafe queue.read(
      into: piece.bytes, from: file.number, at: Int64(asked) * Int64(Self.pieceBytes), tag: UInt64(asked))
    asked += 1
  }

  private func note(_ end: FileCompletion) { memory[Int(end.tag) % Self.pieces].result = end.result }

  /// What the queue did not read, with the error of a read that is waited for.
  private func read(_ piece: Piece, from done: Int, of wanted: Int, at offset: Int64) throws(LinuxError) -> Int {
    if isDirect, file.useCache() { isDirect = false }
    let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: piece.bytes[done..<wanted])
    return done + (unsafe try file.read(into: rest, at: offset + Int64(done)))
  }
}
