import Glibc
import Linux
import Pixels
import Quantities
import RunExport
import RunStore
import SQLite
import Testing

private let python = getenv("INSITUD_PYTHON").map { String(cString: $0) }

@Suite("Export of frames as MRC2014")
struct MRCExportTests {
  private let shape = FrameShape(width: 64, height: 48, bytesPerPixel: 2)

  /// A run of `count` compressed frames, pixel (x, y) of frame k being k + (x & 3).
  private func run(_ count: Int, _ compression: FrameCompression?) throws -> RunDirectory {
    var template = Array("/tmp/insitud-mrc-XXXXXX".utf8CString)
    let made = try #require(mkdtemp(&template))
    let data = try DataDirectory(creating: String(cString: made))
    let id = ULID(unixNanoseconds: 1_000_000_000_000)
    let run = try RunDatabase.create(
      in: try RunDirectory.create(in: data, id: id, name: "frames"),
      RunRecord(
        id: id, name: "frames", sampleID: nil, protocolText: "", protocolJSON: "{}",
        started: HostClockReading(raw: .init(nanoseconds: 0), monotonicNanoseconds: 0, unixNanoseconds: 0),
        software: "test", host: "bench"))
    var settings = SegmentSettings()
    settings.reservationBytes = 64 << 10
    settings.compression = compression
    settings.segmentBytes = compression == nil ? 4096 + 7 * Int64(shape.bytes) : 4096 + 1000
    let writer = SegmentWriter(run.directory.frames, settings)
    for k in 0..<count {
      let pixels = (0..<shape.width * shape.height).map { UInt16(k + $0 & 3) }
      try pixels.withUnsafeBytes { bytes in
        try writer.append(
          RecordedFrame(
            frameNumber: UInt64(k + 5), deviceNanoseconds: Int64(k), exposureNanoseconds: 2_400_000,
            arrival: MonotonicTime(nanoseconds: Int64(k)), series: 3, shape: shape), bytes,
          at: MonotonicTime(nanoseconds: Int64(k)))
        while writer.framesReleased < writer.framesHandedOver { try writer.reap(waitingAtMost: Seconds(1)) }
      }
    }
    try writer.close()
    try run.close()
    return run.directory
  }

  private func remove(_ run: RunDirectory) {
    let base = run.path.split(separator: "/").prefix(2).joined(separator: "/")
    system("rm -rf '/\(base)'")
  }

  @Test(
    "compressed frames come out as plain segments with their index", arguments: [nil, .bslz4] as [FrameCompression?])
  func frames(compression: FrameCompression?) throws {
    let run = try run(40, compression)
    defer { remove(run) }
    #expect(try run.frames.segments().count > 1)
    let target = run.path + "/out"
    let paths = try ExportFormat.mrc.write(run: run.path, to: target + "/")
    #expect(paths == [target + "/frames-0000.idx", target + "/frames-0000.mrc"])
    let contents = try SegmentContents(FrameFiles(in: target, .first), 0)
    #expect(contents.header == SegmentHeader(format: .plain, shape: shape, frames: 40))
    #expect(contents.records.compactMap { $0?.frameNumber } == Array(5..<45))
    #expect(contents.records.compactMap { $0?.ordinal } == Array(0..<40))
    let bytes = try FileSystem.read(contents.path)
    #expect(bytes.count == 4096 + 40 * shape.bytes)
    for k in 0..<40 { #expect(bytes[4096 + k * shape.bytes + 2 * 65] == UInt8(k + 1)) }
    #expect(try FileSystem.list(target).count == 2)
  }

  @Test("nothing is replaced: neither frames of another run, nor the recording itself")
  func occupied() throws {
    let run = try run(5, .bslz4)
    defer { remove(run) }
    let before = try FileSystem.list(run.path)
    for target in [run.path + "/out", run.path] {
      if target != run.path { _ = try ExportFormat.mrc.write(run: run.path, to: target) }
      let index = try FileSystem.read(target + "/frames-0000.idx")
      #expect(throws: ExportError.self) { _ = try ExportFormat.mrc.write(run: run.path, to: target) }
      #expect(try FileSystem.read(target + "/frames-0000.idx") == index)
    }
    #expect(try FileSystem.list(run.path) == (before + ["out"]).sorted())
  }

  @Test("a damaged frame is named, and nothing is left behind", arguments: [nil, .bslz4] as [FrameCompression?])
  func damaged(compression: FrameCompression?) throws {
    let run = try run(12, compression)
    defer { remove(run) }
    let contents = try SegmentContents(run.frames, 0)
    let frame = contents.frames[2]
    var bytes = try FileSystem.read(contents.path)
    bytes[Int(frame.offsetBytes) + frame.storedBytes / 2] ^= 4
    try FileSystem.replace(contents.path, with: bytes)
    do throws(ExportError) {
      _ = try ExportFormat.mrc.write(run: run.path, to: run.path + "/out")
      Issue.record("it was exported")
    } catch {
      #expect(error.description.contains("frame 2 ") || error.description.contains("of frame 2"), "\(error)")
    }
    #expect(try FileSystem.list(run.path + "/out").isEmpty)
  }

  @Test("mrcfile reads what was exported", .enabled(if: python != nil))
  func mrcfile() throws {
    let run = try run(40, .bslz4)
    defer { remove(run) }
    _ = try ExportFormat.mrc.write(run: run.path, to: run.path + "/out")
    let script = run.path + "/read.py"
    try FileSystem.replace(
      script,
      with: Array(
        """
        import sys, warnings
        import numpy as np, mrcfile
        warnings.simplefilter("error")
        path = sys.argv[1] + "/frames-0000.mrc"
        assert mrcfile.validate(path)
        with mrcfile.mmap(path) as m:
            assert m.data.shape == (40, 48, 64) and m.data.dtype == np.uint16, m.data
            expected = np.arange(40)[:, None, None] + (np.arange(64) & 3)[None, None, :]
            assert np.array_equal(m.data, np.broadcast_to(expected, m.data.shape))
        print("read")
        """.utf8))
    let pipe = try #require(popen("'\(python ?? "")' '\(script)' '\(run.path)/out' 2>&1", "r"))
    var output: [UInt8] = []
    while case let byte = fgetc(pipe), byte >= 0 { output.append(UInt8(byte)) }
    pclose(pipe)
    #expect(String(decoding: output, as: UTF8.self).hasSuffix("read\n"), "\(String(decoding: output, as: UTF8.self))")
  }
}
