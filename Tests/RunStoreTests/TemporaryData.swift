import Glibc
import Linux
import Quantities
import RunStore
import SQLite

/// A data directory that is gone when the test is over.
final class TemporaryData {
  let data: DataDirectory

  /// - Parameter onDisk: false: in memory where there is a file system for it, because SQLite waits for the disk often.
  init(onDisk: Bool = false) throws {
    let disk = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    let base = !onDisk && FileSystem.isWritable("/dev/shm") ? "/dev/shm" : disk
    var template = Array("\(base)/insitud-store-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { throw LinuxError("mkdtemp", base) }
    data = try DataDirectory(creating: String(cString: made))
  }

  deinit { Self.remove(data.path) }

  private static func remove(_ path: String) {
    if FileSystem.isDirectory(path) {
      for name in (try? FileSystem.list(path)) ?? [] { remove("\(path)/\(name)") }
      rmdir(path)
    } else {
      FileSystem.remove(path)
    }
  }

  /// A run that began at raw 1 s, Unix 1000 s (+ `at`).
  func run(_ name: String = "test", at seconds: Int64 = 0) throws -> RunDatabase {
    let unix = (1000 + seconds) * 1_000_000_000
    let id = ULID(unixNanoseconds: unix)
    let directory = try RunDirectory.create(in: data, id: id, name: name)
    return try RunDatabase.create(
      in: directory,
      RunRecord(
        id: id, name: name, sampleID: "lamella-1", protocolText: "steps: []", protocolJSON: "{}",
        started: HostClockReading(
          raw: MonotonicTime(nanoseconds: 1_000_000_000), monotonicNanoseconds: 1_000_000_100, unixNanoseconds: unix),
        software: "insitud test", host: "bench"))
  }
}

/// Pixels of frame `k`: bytes that differ from frame to frame and, every 256, from place to place.
func pixels(_ shape: FrameShape, _ k: Int) -> [UInt8] {
  [UInt8](unsafeUninitializedCapacity: shape.bytes) { buffer, count in
    memset(buffer.baseAddress!, Int32(k % 250 + 1), shape.bytes)
    for place in stride(from: 0, to: shape.bytes, by: 256) {
      buffer[place] = UInt8(truncatingIfNeeded: place >> 8 &+ k &* 7)
    }
    count = shape.bytes
  }
}

/// Whether the pixels of frame `k` stand at `offset` of the file's bytes.
func holds(_ all: [UInt8], at offset: Int, _ shape: FrameShape, _ k: Int) -> Bool {
  guard all.count >= offset + shape.bytes else { return false }
  return all.withUnsafeBytes { memcmp($0.baseAddress! + offset, pixels(shape, k), shape.bytes) == 0 }
}

extension SegmentWriter {
  /// Writes frame `k` from page-aligned memory, numbered `number`, one every 2.5 ms, and waits until the memory is not needed.
  func write(_ shape: FrameShape, _ k: Int, number: Int? = nil, series: UInt64 = 0) throws {
    let buffer = AlignedBuffer(count: shape.bytes)
    _ = pixels(shape, k).withUnsafeBytes { memcpy(buffer.bytes.baseAddress!, $0.baseAddress!, shape.bytes) }
    let time = MonotonicTime(nanoseconds: 1_000_000_000 + Int64(k) * 2_500_000)
    let frame = RecordedFrame(
      frameNumber: UInt64(number ?? k), deviceNanoseconds: Int64(k) * 2_500_000, exposureNanoseconds: 2_400_000,
      arrival: time, series: series, step: 1, shape: shape)
    try append(frame, UnsafeRawBufferPointer(rebasing: buffer.bytes[..<shape.bytes]), at: time)
    // The buffer goes with this call.
    while framesReleased < framesHandedOver { try reap(waitingAtMost: Seconds(1)) }
  }
}

extension SegmentSettings {
  /// Reserves little: in a file system in memory a reservation is memory.
  static var small: SegmentSettings {
    var settings = SegmentSettings()
    settings.reservationBytes = 64 << 10
    return settings
  }
}

/// Writes frames `numbers` of one series into a run, rows included; the run is left `running`.
func record(
  _ run: RunDatabase, _ shape: FrameShape, numbers: [Int], settings: SegmentSettings = .small,
  rows: Int = .max
) throws {
  var stored: [StoredFrame] = []
  let writer = SegmentWriter(run.directory.frames, settings) { stored += $0 }
  for (k, number) in numbers.enumerated() { try writer.write(shape, k, number: number) }
  try writer.close()
  try run.transaction { () throws(DatabaseError) in try run.append(frames: Array(stored.prefix(rows))) }
}

func bytes(_ path: String) throws -> [UInt8] { try FileSystem.read(path, limit: 1 << 30) }

/// Changes one byte of a file.
func flip(_ path: String, at offset: Int64, mask: UInt8 = 1) throws {
  var all = try bytes(path)
  all[Int(offset)] ^= mask
  try FileSystem.replace(path, with: all)
}

func cut(_ path: String, to size: Int64) throws {
  let file = try FileDescriptor.open(path, O_WRONLY)
  try file.truncate(to: size)
}
