import FrameRing
import Glibc
import Linux
import Pixels
import Quantities
import Testing

/// Names a python that has numpy.
private let python = getenv("INSITUD_PYTHON").map { String(cString: $0) }

/// Reads for so many frames through `examples/ring_reader.py` and prints what it found: frames read, missed, torn, out of
/// order.
private let script = #"""
  import sys
  sys.dont_write_bytecode = True
  sys.path.insert(0, sys.argv[1])
  from ring_reader import RingReader
  reader = RingReader(sys.argv[2])
  print("ready", reader.next, flush=True)
  wanted, read, torn, disorder, last = int(sys.argv[3]), 0, 0, 0, -1
  while read < wanted:
      frame = reader.read(10)
      if frame is None: break
      header, pixels = frame
      number = int(header["frame_number"])
      read += 1
      if (pixels != number % 65536).any() or header["device_time_ns"] != 7 * number: torn += 1
      if number <= last: disorder += 1
      last = number
  print(read, reader.missed, torn, disorder, reader.next, last)
  """#

@Suite("The ring for readers outside", .enabled(if: python != nil, "INSITUD_PYTHON names no python with numpy"))
struct RingReaderTests {
  let file = RingFile()
  private var examples: String {
    "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/examples"
  }

  private func reader(frames: Int) throws -> UnsafeMutablePointer<FILE> {
    let path = file.path + ".py"
    try FileSystem.replace(path, with: Array(script.utf8))
    return try #require(popen("'\(python!)' \(path) '\(examples)' \(file.path) \(frames) 2>&1", "r"))
  }

  private func line(_ pipe: UnsafeMutablePointer<FILE>) -> String {
    var line = [CChar](repeating: 0, count: 512)
    guard fgets(&line, 512, pipe) != nil else { return "" }
    return String(decoding: line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private func put(_ number: UInt64, into ring: FrameRing, pixels: Int) {
    _ = ring.write { header, room in
      header.frameNumber = number
      header.deviceNanoseconds = 7 * Int64(number)
      header.width = pixels / 32
      header.height = 32
      let words = room.bindMemory(to: UInt16.self)
      for index in 0..<pixels { words[index] = UInt16(truncatingIfNeeded: number) }
      return true
    }
    ring.release(through: ring.published - 1)
  }

  @Test("The numpy reader finds the statistics of a frame that has them")
  func statistics() throws {
    let ring = try FrameRing.create(file.path, slots: 3, slotBytes: 16)
    var found = FrameStatistics(sum: 1 << 40, minimum: 3, maximum: 70_000, saturated: 5, change: 0.25, regionCount: 2)
    found[region: 0] = 1.5
    found[region: 1] = -2
    for statistics in [found, nil] {
      let sequence = ring.write { header, _ in
        header = FrameHeader(flags: .repeated, pixelType: .u8, width: 4, height: 4, statistics: statistics)
        return true
      }
      ring.release(through: try #require(sequence))
    }
    let program = """
      import sys
      sys.dont_write_bytecode = True
      sys.path.insert(0, sys.argv[1])
      from ring_reader import RingReader, REPEATED, STATISTICS
      reader = RingReader(sys.argv[2])
      for sequence in (0, 1):
          h, _ = reader.copy(sequence)
          print(int(h["flags"]) == REPEATED | (STATISTICS if sequence == 0 else 0), end=" ")
          if sequence == 0:
              print(*(h[name] for name in ("sum", "saturated", "minimum", "maximum", "change", "region_count")),
                    *h["region_means"][:2], end=" ")
      """
    let path = file.path + ".py"
    try FileSystem.replace(path, with: Array(program.utf8))
    defer { FileSystem.remove(path) }
    let pipe = try #require(popen("'\(python!)' \(path) '\(examples)' \(file.path) 2>&1", "r"))
    defer { pclose(pipe) }
    #expect(line(pipe) == "True 1099511627776 5 3 70000 0.25 2 1.5 -2.0 True ")
  }

  @Test("The numpy reader never has a torn frame of a writer at full speed, and knows what it missed")
  func neverTorn() throws {
    let pixels = 32 * 512
    let ring = try FrameRing.create(file.path, slots: 3, slotBytes: pixels * 2)
    let pipe = try reader(frames: 2000)
    defer {
      pclose(pipe)
      FileSystem.remove(file.path + ".py")
    }
    #expect(line(pipe) == "ready 0")
    let done = Monitor(false)
    let writer = NamedThread("ring-writer") { [self] in
      var number: UInt64 = 0
      while !done.read({ $0 }) {
        put(number, into: ring, pixels: pixels)
        number += 1
      }
    }
    let numbers = line(pipe).split(separator: " ").compactMap { Int($0) }
    done.update { $0 = true }
    writer.join()
    try #require(numbers.count == 6)
    #expect(numbers[0] == 2000)
    #expect(numbers[1] > 0, "a writer at full speed outruns it")
    #expect(numbers[2] == 0 && numbers[3] == 0)
    // Every frame up to the last was read or missed.
    #expect(numbers[0] + numbers[1] == numbers[4])
    #expect(numbers[5] == numbers[4] - 1)
    print("ring_reader.py: \(numbers[0]) frames read, \(numbers[1]) missed, \(numbers[2]) torn")
  }

  @Test("A numpy reader that keeps up gets every frame, and is woken by it")
  func everyFrame() throws {
    let ring = try FrameRing.create(file.path, slots: 64, slotBytes: 2048)
    for number in 0..<5 as Range<UInt64> { put(number, into: ring, pixels: 1024) }
    let pipe = try reader(frames: 100)
    defer {
      pclose(pipe)
      FileSystem.remove(file.path + ".py")
    }
    // What was there before is not asked for.
    #expect(line(pipe) == "ready 5")
    for number in 5..<105 as Range<UInt64> {
      put(number, into: ring, pixels: 1024)
      sleepThread(for: Seconds(0.002))
    }
    #expect(line(pipe) == "100 0 0 0 105 104")
  }

  @Test("What is no ring is refused with a sentence", arguments: ["", "not a ring", "magic"])
  func refused(_ kind: String) throws {
    if kind == "magic" {
      _ = try FrameRing.create(file.path, slots: 2, slotBytes: 64)
      try file.patch([9, 0, 0, 0], at: 8)
    } else {
      try FileSystem.replace(file.path, with: Array(repeating: 1, count: kind.isEmpty ? 10 : 9000))
    }
    let pipe = try #require(popen("'\(python!)' -B '\(examples)/ring_reader.py' \(file.path) 1 2>&1", "r"))
    let said = line(pipe)
    #expect(pclose(pipe) != 0)
    #expect(said.hasPrefix("ring_reader: \(file.path) is "), "\(said)")
  }
}
