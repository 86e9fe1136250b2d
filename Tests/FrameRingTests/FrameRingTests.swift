import FrameRing
import Linux
import Pixels
import Quantities
import Testing

@Suite("Frame ring")
struct FrameRingTests {
  let file = RingFile()

  @Test("Frames come out in order, with every field that went in")
  func order() throws {
    let ring = try FrameRing.create(file.path, slots: 4, slotBytes: 16)
    let reader = try FrameRing.open(file.path, writable: true)
    for number in 0..<20 as Range<UInt64> {
      let sequence = ring.write { header, room in
        header = FrameHeader(
          frameNumber: number + 100, deviceNanoseconds: Int64(number) * -7, exposureNanoseconds: 2_400_000,
          arrival: MonotonicTime(nanoseconds: 55), series: 3, flags: [.repeated, .noDeviceTime], pixelType: .u8,
          width: 4, height: 2, step: 9, pixelCRC: 0xCAFE)
        room.copyBytes(from: (0..<8).map { UInt8($0) &+ UInt8(number) })
        return true
      }
      #expect(sequence == number)
      let seen = reader.read(number) { header, pixels in (header, Array(pixels)) }
      let (header, pixels) = try #require(seen)
      #expect(
        header
          == FrameHeader(
            frameNumber: number + 100, deviceNanoseconds: Int64(number) * -7, exposureNanoseconds: 2_400_000,
            arrival: MonotonicTime(nanoseconds: 55), series: 3, flags: [.repeated, .noDeviceTime], pixelType: .u8,
            width: 4, height: 2, step: 9, pixelCRC: 0xCAFE))
      #expect(pixels == (0..<8).map { UInt8($0) &+ UInt8(number) })
      reader.release(through: number)
      #expect(ring.filled == 0)
    }
    #expect(ring.published == 20)
    #expect(ring.consumed == 20)
    #expect(ring.refused == 0)
  }

  @Test("A header can be had without its pixels, as long as its slot has not been given to another frame")
  func headers() throws {
    let ring = try FrameRing.create(file.path, slots: 2, slotBytes: 16)
    let onlooker = try FrameRing.open(file.path, writable: false)
    #expect(onlooker.peek(0) == nil)
    for number in 0..<3 as Range<UInt64> {
      ring.put(number, filledWith: 1)
      ring.release(through: number)
    }
    #expect(onlooker.peek(0) == nil)
    #expect(onlooker.peek(1)?.frameNumber == 1 && onlooker.peek(2)?.frameNumber == 2)
    #expect(onlooker.peek(3) == nil)
    // The next frame is being written over frame 1.
    _ = ring.reserve()
    #expect(onlooker.peek(1) == nil)
    #expect(onlooker.peek(2)?.bytes == 16)
  }

  @Test("Statistics come out as they went in, and of a frame without them none of the frame before do")
  func statistics() throws {
    let ring = try FrameRing.create(file.path, slots: 1, slotBytes: 16)
    var found = FrameStatistics(
      sum: .max - 1, minimum: 2, maximum: .max, saturated: 4, change: 0.5, regionCount: FrameStatistics.mostRegions)
    for index in 0..<found.regionCount { found[region: index] = Float(index) / 3 }
    found[region: 5] = .nan
    let none = FrameStatistics(sum: 0, minimum: 0, maximum: 0)
    for (number, statistics) in [found, nil, none].enumerated() {
      _ = ring.write { header, _ in
        header = FrameHeader(flags: .repeated, pixelType: .u8, width: 4, height: 4, statistics: statistics)
        return true
      }
      let seen = ring.read(UInt64(number)) { header, _ in header }
      let header = try #require(seen)
      #expect(header.statistics == statistics)
      #expect(header.flags == .repeated)
      ring.release(through: UInt64(number))
    }
  }

  @Test("A full ring refuses, and the next slot says how many it refused")
  func full() throws {
    let ring = try FrameRing.create(file.path, slots: 3, slotBytes: 16)
    for number in 0..<3 as Range<UInt64> { #expect(ring.put(number, filledWith: 1) == number) }
    #expect(ring.put(3, filledWith: 1) == nil)
    #expect(ring.put(4, filledWith: 1) == nil)
    ring.noteUnusable(1)
    #expect(ring.refused == 2)
    #expect(ring.filled == 3)

    ring.release(through: 0)
    #expect(ring.put(6, filledWith: 1) == 3)
    let before = ring.read(3) { header, _ in [header.refusedBefore, header.unusableBefore] }
    #expect(before == [2, 1])
    ring.release(through: 3)
    ring.put(7, filledWith: 1)
    let after = ring.read(4) { header, _ in [header.refusedBefore, header.unusableBefore] }
    #expect(after == [0, 0])

    ring.noteRefused(5)
    ring.beginSeries()
    ring.put(0, filledWith: 1)
    #expect(ring.read(5) { header, _ in header.refusedBefore } == 0)
    #expect(ring.refused == 7)
  }

  @Test("What the gating reader holds is not overwritten, several slots at a time")
  func gating() throws {
    let ring = try FrameRing.create(file.path, slots: 4, slotBytes: 16)
    for number in 0..<4 as Range<UInt64> { ring.put(number, filledWith: UInt16(number)) }
    #expect(ring.read(0) { _, pixels in pixels[0] } == 0)
    #expect(ring.read(1) { _, pixels in pixels[0] } == 1)
    for _ in 0..<10 { #expect(ring.put(99, filledWith: 99) == nil) }
    for number in 0..<4 as Range<UInt64> {
      #expect(ring.read(number) { _, pixels in pixels[0] } == UInt8(number))
    }
    ring.release(through: 1)
    #expect(ring.put(4, filledWith: 4) == 4)
    #expect(ring.put(5, filledWith: 5) == 5)
    #expect(ring.put(6, filledWith: 6) == nil)
    #expect(ring.read(2) { _, pixels in pixels[0] } == 2)
    #expect(ring.read(7) { _, _ in true } == nil)
  }

  @Test("A frame that was begun and dropped was never there")
  func dropped() throws {
    let ring = try FrameRing.create(file.path, slots: 2, slotBytes: 16)
    #expect(ring.write { _, _ in false } == nil)
    #expect(ring.published == 0)
    #expect(ring.refused == 0)
    ring.put(0, filledWith: 7)
    #expect(ring.read(0) { _, pixels in pixels[0] } == 7)
  }

  @Test("A second mapping, opened read-only, sees the frames and cannot see those overwritten")
  func onlooker() throws {
    let ring = try FrameRing.create(file.path, slots: 2, slotBytes: 16)
    let onlooker = try FrameRing.open(file.path, writable: false)
    let buffer = AlignedBuffer(count: 16)
    #expect(onlooker.copy(0, into: buffer.bytes) == nil)
    for number in 0..<3 as Range<UInt64> {
      ring.put(number, filledWith: UInt16(number) + 10)
      ring.release(through: number)
    }
    #expect(onlooker.published == 3)
    #expect(onlooker.copy(0, into: buffer.bytes) == nil)
    let copied = onlooker.copy(1, into: buffer.bytes)
    #expect(copied?.frameNumber == 1)
    #expect(buffer.bytes[0] == 11)
    #expect(onlooker.copy(2, into: UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<15])) == nil)
    // Room reserved for frame 3 is the slot of frame 1.
    _ = ring.reserve()
    #expect(onlooker.copy(1, into: buffer.bytes) == nil)
    #expect(onlooker.copy(2, into: buffer.bytes)?.frameNumber == 2)
  }

  @Test("A copy is never torn while the writer runs at full speed")
  func neverTorn() throws {
    let pixels = 2048
    let ring = try FrameRing.create(file.path, slots: 2, slotBytes: pixels * 2)
    let onlooker = try FrameRing.open(file.path, writable: false)
    let done = Monitor(false)
    let writer = NamedThread("ring-writer") {
      var number: UInt64 = 0
      while !done.read({ $0 }) {
        ring.put(number, filledWith: UInt16(truncatingIfNeeded: number), pixels: pixels)
        ring.release(through: number)
        number += 1
      }
    }
    let buffer = AlignedBuffer(count: pixels * 2)
    var whole = 0
    var torn = 0
    let end = MonotonicTime.now + Seconds(10)
    while whole < 300, MonotonicTime.now < end {
      guard onlooker.waitForPublished(beyond: 0, atMost: Seconds(1)) else { continue }
      guard let header = onlooker.copy(onlooker.published - 1, into: buffer.bytes) else { continue }
      whole += 1
      let words = buffer.bytes.bindMemory(to: UInt16.self)
      if words[0] != UInt16(truncatingIfNeeded: header.frameNumber) { torn += 1 }
      if words[pixels - 1] != words[0] || words[pixels / 2] != words[0] { torn += 1 }
    }
    done.update { $0 = true }
    writer.join()
    #expect(torn == 0)
    #expect(whole == 300)
  }

  @Test("A reader at the other end of a thread gets every frame, in order")
  func handOver() throws {
    let ring = try FrameRing.create(file.path, slots: 4, slotBytes: 16)
    let path = file.path
    let result = Monitor<[UInt64]>([])
    let reader = NamedThread("ring-reader") {
      guard let reader = try? FrameRing.open(path, writable: true) else { return }
      var next: UInt64 = 0
      while next < 2000, reader.waitForPublished(beyond: next, atMost: Seconds(5)) {
        if let number = reader.read(next, { header, _ in header.frameNumber }) {
          result.update { $0.append(number) }
        }
        reader.release(through: next)
        next += 1
      }
    }
    var number: UInt64 = 0
    let end = MonotonicTime.now + Seconds(10)
    while number < 2000, MonotonicTime.now < end { if ring.put(number, filledWith: 0) != nil { number += 1 } }
    reader.join()
    #expect(result.read { $0 } == Array(0..<2000))
  }

  @Test("Without a herald the writer wakes who waits")
  func wakesByItself() throws {
    let ring = try FrameRing.create(file.path, slots: 4, slotBytes: 16, isHeralded: false)
    let path = file.path
    let woken = Monitor<Seconds?>(nil)
    let waiter = NamedThread("ring-waiter") {
      guard let other = try? FrameRing.open(path, writable: false) else { return }
      let start = MonotonicTime.now
      if other.waitForPublished(beyond: 0, atMost: Seconds(20)) { woken.update { $0 = MonotonicTime.now - start } }
    }
    ring.put(0, filledWith: 0)
    // It may not be asleep yet: then it sees the frame by itself. Woken again and again, it has no other way to end early.
    while woken.wait(atMost: Seconds(0.001), for: { $0 }) == nil { ring.wake() }
    waiter.join()
    let span = try #require(woken.read { $0 })
    #expect(span < Seconds(10))
  }

  @Test("A waiter wakes when a frame is published, on a writable and on a read-only mapping", arguments: [true, false])
  func wakes(writable: Bool) throws {
    let ring = try FrameRing.create(file.path, slots: 4, slotBytes: 16)
    let path = file.path
    let ready = Monitor(false)
    let woken = Monitor<Seconds?>(nil)
    let waiter = NamedThread("ring-waiter") {
      guard let other = try? FrameRing.open(path, writable: writable) else { return }
      ready.update { $0 = true }
      let start = MonotonicTime.now
      if other.waitForPublished(beyond: 0, atMost: Seconds(20)) { woken.update { $0 = MonotonicTime.now - start } }
    }
    _ = ready.wait(atMost: Seconds(5)) { $0 ? true : nil }
    ring.put(0, filledWith: 0)
    waiter.join()
    let span = try #require(woken.read { $0 })
    #expect(span < Seconds(10))
    #expect(!ring.waitForPublished(beyond: 1, atMost: Seconds(0.01)))
    #expect(ring.waitForPublished(beyond: 0, atMost: Seconds(0)))
  }
}
