import Glibc
import Linux
import Quantities
import RunStore
import Testing

private let python = getenv("INSITUD_PYTHON").map { String(cString: $0) }

/// Needs a Python with numpy and mrcfile, named by INSITUD_PYTHON.
@Suite("Segments in Python", .enabled(if: python != nil))
struct PythonReadersTests {
  /// Arguments: directory, dtype, width, height, frames that must be there at least, whether the segment is closed.
  private static let script = """
    import sys, warnings
    import numpy as np, mrcfile
    warnings.simplefilter("error" if sys.argv[6] == "closed" else "ignore")
    base, dtype, width, height, least = sys.argv[1] + "/frames-0000", sys.argv[2], *map(int, sys.argv[3:6])
    with mrcfile.mmap(base + ".mrc", mode="r") as m:
        assert m.is_image_stack(), m.header
        stack = m.data.view(dtype)
        assert stack.shape[0] >= least and stack.shape[1:] == (height, width), stack.shape
        assert int(m.header.nz) == stack.shape[0]
        raw = np.memmap(base + ".mrc", dtype, "r", offset=4096, shape=stack.shape)
        assert np.array_equal(stack, raw)
        index = np.fromfile(base + ".idx", np.dtype([("frame_number", "<u8"), ("device_time_ns", "<i8"),
            ("arrival_raw_ns", "<i8"), ("exposure_ns", "<i8"), ("series", "<u4"), ("flags", "<u4"), ("position", "<u8"),
            ("step", "<u4"), ("pixel_crc32c", "<u4"), ("ordinal", "<u4"), ("record_crc32c", "<u4")]))
        assert len(index) >= stack.shape[0]
        assert np.array_equal(index["ordinal"], np.arange(len(index)))
        assert (index["exposure_ns"] == 2400000).all() and (index["series"] == 0).all()
        for k in range(stack.shape[0]):
            expected = np.full(width * height * stack.itemsize, k % 250 + 1, "u1")
            expected[::256] = (np.arange(0, expected.size, 256) // 256 + k * 7) % 256
            assert np.array_equal(stack[k].reshape(-1).view("u1"), expected), k
    if sys.argv[6] == "closed":
        assert mrcfile.validate(base + ".mrc")
    print("read", stack.shape[0])
    """

  private func run(_ directory: RunDirectory, _ shape: FrameShape, least: Int, _ state: String) throws -> String {
    let script = directory.path + "/read.py"
    try FileSystem.replace(script, with: Array(Self.script.utf8))
    let words = [
      python ?? "python3", script, directory.path, shape.pixelName, "\(shape.width)", "\(shape.height)", "\(least)",
      state,
    ]
    let pipe = try #require(popen(words.map { "'\($0)'" }.joined(separator: " ") + " 2>&1", "r"))
    var output: [UInt8] = []
    while case let byte = fgetc(pipe), byte >= 0 { output.append(UInt8(byte)) }
    pclose(pipe)
    return String(decoding: output, as: UTF8.self)
  }

  @Test(
    "mrcfile and numpy read a segment while it is written, and when it is closed",
    arguments: [(512, 512, 2), (515, 515, 2), (64, 48, 1), (100, 101, 4)])
  func read(_ size: (Int, Int, Int)) throws {
    let temporary = try TemporaryData(onDisk: true)
    let directory = try RunDirectory.create(in: temporary.data, id: ULID(unixNanoseconds: 1), name: "frames")
    let shape = FrameShape(width: size.0, height: size.1, bytesPerPixel: size.2)
    let writer = SegmentWriter(directory.frames, .small)
    for k in 0..<30 { try writer.write(shape, k) }
    try writer.flush()
    for k in 30..<60 { try writer.write(shape, k) }
    let during = try run(directory, shape, least: 30, "open")
    #expect(during.hasPrefix("read "), "\(during)")
    for k in 60..<70 { try writer.write(shape, k) }
    try writer.close()
    let after = try run(directory, shape, least: 70, "closed")
    #expect(after.hasPrefix("read 70") || after.contains("\nread 70"), "\(after)")
  }
}
