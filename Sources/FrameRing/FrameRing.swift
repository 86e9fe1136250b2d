internal import CFrameRing
import CLinux
import Glibc
import Linux
package import Pixels
package import Quantities
import Synchronization

/// Frames in shared memory: one writer, one gating reader, any number of onlookers (layout: CFrameRing.h).
///
/// The writer never overwrites what the gating reader has not released; a full ring refuses, and counts it.
/// Onlookers, in this process or another, hold nobody up. Nothing here allocates, locks, logs or calls the system per frame:
/// who waits is woken by a thread of the ring's own (`RingHerald`).
///
/// The members `reserve`, `publish`, `write` and `note…` belong to one thread of the process that made the ring,
/// `read` and `release` to one thread of the gating reader. All else may be called anywhere.
@safe
package final class FrameRing: @unchecked Sendable {
  package static let mostSlots = 1 << 20
  package static let mostSlotBytes = 1 << 30
  private static let page = 4096

  package let slotCount: Int
  /// Pixel bytes that fit in a slot.
  package let slotBytes: Int
  private let slotStride: Int
  private let mapping: SharedMapping
  private let base: UnsafeMutableRawPointer
  private let writable: Bool
  /// Of the process that made the ring.
  private let herald: RingHerald?
  /// What memory it lies in; nil for a ring that another made.
  package let memory: RingMemory?

  private let ownMeter: PixelMeter?

  // The writer's own; nobody else reads them.
  private var nextSequence: UInt64 = 0
  private var refusedSincePublished: UInt64 = 0
  private var unusableSincePublished: UInt64 = 0
  // The gating reader's own: what it released, whatever others may write into the file.
  private var released: UInt64 = 0

  /// Of the file itself, which is elsewhere than where it was made when it lies on huge pages.
  package var path: String { mapping.path }

  private init(
    _ mapping: SharedMapping, slots: Int, slotBytes: Int, stride: Int, writable: Bool, herald: RingHerald? = nil,
    memory: RingMemory? = nil, meter: PixelMeter? = nil
  ) {
    ownMeter = meter
    self.mapping = mapping
    self.herald = herald
    self.memory = memory
    unsafe base = unsafe mapping.bytes.baseAddress!
    slotCount = slots
    self.slotBytes = slotBytes
    slotStride = stride
    self.writable = writable
  }

  // MARK: Making and opening

  /// Makes the file anew, and touches every page, so that no frame pays for the kernel's first look at it.
  /// - Parameters:
  ///   - path: of the file; on huge pages of a hugetlbfs it becomes a symbolic link to it (`remove`).
  ///   - statistics: what the writer's `meter` shall find out of each frame.
  ///   - isHeralded: a thread wakes who waits, soon after each frame; else the writer calls `wake`.
  package static func create(
    _ path: String, slots: Int, slotBytes: Int, statistics: StatisticsSettings = .plain,
    memory wish: RingMemory.Wish = .best, isHeralded: Bool = true
  ) throws(FrameRingError) -> FrameRing {
    guard (1...mostSlots).contains(slots), (1...mostSlotBytes).contains(slotBytes) else {
      throw .impossibleSize(path: path, slots: slots, slotBytes: slotBytes)
    }
    let stride = page + (slotBytes + page - 1) / page * page
    let size = page + slots * stride
    let mapping: SharedMapping
    let memory: RingMemory
    do throws(LinuxError) { (mapping, memory) = try RingMemoryMaker().make(path, size: size, wish: wish) } catch {
      throw .system(error)
    }

    let ring = FrameRing(
      mapping, slots: slots, slotBytes: slotBytes, stride: stride, writable: true,
      herald: isHeralded ? RingHerald(mapping) : nil, memory: memory,
      meter: PixelMeter(largestFrameBytes: slotBytes, statistics))
    for index in 0..<slots {
      // Relaxed: nobody knows the file for a ring before the magic is there.
      ring.sequence(at: index).storeRelaxed(.max)
    }
    let header = unsafe ring.header
    unsafe header.pointee.version = FRAME_RING_VERSION
    unsafe header.pointee.slot_count = UInt32(slots)
    unsafe header.pointee.slot_bytes = UInt64(slotBytes)
    unsafe header.pointee.slot_stride = UInt64(stride)
    unsafe header.pointee.writer_pid = UInt64(getpid())
    // Releasing: whoever sees the magic sees the rest.
    ring.word(0).storeReleasing(FRAME_RING_MAGIC)
    return ring
  }

  /// Maps a ring that another made.
  /// - Parameter writable: true for the gating reader; onlookers need only read the file.
  package static func open(_ path: String, writable: Bool) throws(FrameRingError) -> FrameRing {
    let mapping: SharedMapping
    do throws(LinuxError) { mapping = try SharedMapping.open(resolved(path), writable: writable) } catch {
      throw .system(error)
    }
    let size = unsafe mapping.bytes.count
    guard size >= page else { throw .notARing(path: path) }

    let probe = FrameRing(mapping, slots: 1, slotBytes: 0, stride: page, writable: writable)
    // Acquiring: pairs with the releasing store in `create`.
    guard probe.word(0).loadAcquiring() == FRAME_RING_MAGIC else { throw .notARing(path: path) }
    let version = unsafe probe.header.pointee.version
    guard version == FRAME_RING_VERSION else {
      throw .otherVersion(path: path, found: version, understood: FRAME_RING_VERSION)
    }
    let slots = unsafe Int(probe.header.pointee.slot_count)
    let slotBytes = unsafe Int(clamping: probe.header.pointee.slot_bytes)
    let stride = unsafe Int(clamping: probe.header.pointee.slot_stride)
    guard (1...mostSlots).contains(slots), (1...mostSlotBytes).contains(slotBytes) else {
      throw .contradiction(path: path, detail: "\(slots) slots of \(slotBytes) bytes")
    }
    guard stride == page + (slotBytes + page - 1) / page * page else {
      throw .contradiction(path: path, detail: "a slot stride of \(stride) for \(slotBytes) bytes of pixels")
    }
    guard size >= page + slots * stride else {
      throw .contradiction(path: path, detail: "\(size) bytes long where \(page + slots * stride) are needed")
    }
    return FrameRing(mapping, slots: slots, slotBytes: slotBytes, stride: stride, writable: writable)
  }

  // MARK: Counters

  /// Sequences below this can be read. Acquiring: with the number come the frames below it.
  package var published: UInt64 { word(Field.published).loadAcquiring() }
  /// Sequences below this may be overwritten. Acquiring: the reader is done with what it released.
  package var consumed: UInt64 { word(Field.consumed).loadAcquiring() }
  /// Frames refused so far because the ring was full. Relaxed: a count that orders nothing.
  package var refused: UInt64 { word(Field.refused).loadRelaxed() }
  /// Slots the gating reader has not released.
  package var filled: Int { Int(clamping: published &- min(consumed, published)) }

  // MARK: Writer

  /// Brings pixels into the room that `reserve` gave, with their checksum and statistics. The writer's own.
  package var meter: PixelMeter {
    guard let ownMeter else { preconditionFailure("a ring that another made has another writer") }
    return ownMeter
  }

  /// Room for the next frame's pixels, or nil when the ring is full (counted). Follow with `publish`, or with
  /// `reserve` again to drop what was written.
  package func reserve() -> UnsafeMutableRawBufferPointer? {
    // A reader that claims more than was published gives a huge difference: full, and nothing is overwritten.
    guard nextSequence &- consumed < UInt64(slotCount) else {
      noteRefused(1)
      return nil
    }
    let index = Int(nextSequence % UInt64(slotCount))
    // Relaxed store and releasing fence: an onlooker that sees one byte of the new frame also sees this mark
    // when it looks again behind its acquiring fence.
    sequence(at: index).storeRelaxed(.max)
    atomicMemoryFence(ordering: .releasing)
    return unsafe UnsafeMutableRawBufferPointer(start: pixels(at: index), count: slotBytes)
  }

  /// Publishes the frame written into the room that `reserve` gave, and gives its sequence. Who waits is woken soon after
  /// by the herald; without one call `wake`.
  @discardableResult
  package func publish(_ frame: FrameHeader) -> UInt64 {
    precondition(frame.bytes <= slotBytes, "a frame larger than its slot")
    let published = nextSequence
    let index = Int(published % UInt64(slotCount))
    let slot = unsafe slot(at: index)
    unsafe slot.pointee.frame_number = frame.frameNumber
    unsafe slot.pointee.device_time_ns = frame.deviceNanoseconds
    unsafe slot.pointee.exposure_ns = frame.exposureNanoseconds
    unsafe slot.pointee.arrival_ns = frame.arrival.nanoseconds
    unsafe slot.pointee.series = frame.series
    unsafe slot.pointee.refused_before = refusedSincePublished
    unsafe slot.pointee.unusable_before = unusableSincePublished
    unsafe slot.pointee.flags = frame.flags.rawValue & ~FRAME_RING_FLAG_STATISTICS
    if let statistics = frame.statistics { unsafe slot.pointee.put(statistics) }
    unsafe slot.pointee.pixel_type = frame.pixelType.rawValue
    unsafe slot.pointee.width = UInt32(frame.width)
    unsafe slot.pointee.height = UInt32(frame.height)
    unsafe slot.pointee.bytes = UInt64(frame.bytes)
    unsafe slot.pointee.step = frame.step
    unsafe slot.pointee.pixel_crc32c = frame.pixelCRC
    refusedSincePublished = 0
    unusableSincePublished = 0
    nextSequence = published + 1
    // Releasing, twice: an onlooker goes by the slot's sequence, the others by `published`; with either comes the frame.
    sequence(at: index).storeReleasing(published)
    word(Field.published).storeReleasing(published + 1)
    return published
  }

  /// Wakes who waits for frames, in all processes: a system call, for writers of a ring without a herald.
  package func wake() { unsafe clinux_futex_wake(futexWord) }

  /// Fills and publishes the next slot; gives its sequence, or nil when the ring is full (counted) or `fill` said no.
  package func write(_ fill: (inout FrameHeader, UnsafeMutableRawBufferPointer) -> Bool) -> UInt64? {
    guard let room = unsafe reserve() else { return nil }
    var frame = FrameHeader()
    guard unsafe fill(&frame, room) else { return nil }
    return publish(frame)
  }

  /// Counts frames that were refused before they came here.
  package func noteRefused(_ frames: UInt64) {
    refusedSincePublished += frames
    // Relaxed: only this thread writes the count, and it orders nothing.
    let counter = word(Field.refused)
    counter.storeRelaxed(counter.loadRelaxed() &+ frames)
  }

  /// Counts frames that arrived and could not be used; the next slot says so.
  package func noteUnusable(_ frames: UInt64) { unusableSincePublished += frames }

  /// The first slot of a new series shall not speak of frames of the one before. The herald is told that frames come, and
  /// the meter's reference begins anew.
  package func beginSeries() {
    herald?.rouse()
    ownMeter?.beginSeries()
    refusedSincePublished = 0
    unusableSincePublished = 0
  }

  // MARK: Gating reader

  /// The frame in place, until it is released; nil while it is not yet published.
  /// - Precondition: `sequence` has not been released.
  package func read<R>(_ sequence: UInt64, _ body: (FrameHeader, UnsafeRawBufferPointer) -> R) -> R? {
    guard sequence < published else { return nil }
    precondition(sequence >= released, "frame \(sequence) was released")
    let index = Int(sequence % UInt64(slotCount))
    let frame = header(at: index)
    return unsafe body(frame, UnsafeRawBufferPointer(start: pixels(at: index), count: frame.bytes))
  }

  /// Gives the slots up to and with `sequence` back to the writer.
  package func release(through sequence: UInt64) {
    precondition(writable, "a ring opened read-only has another gating reader")
    released = sequence + 1
    // Releasing: whoever sees the number knows that the reading below it is over.
    word(Field.consumed).storeReleasing(sequence + 1)
  }

  // MARK: Everybody

  /// Waits until `published` is larger than `sequence`; false when that did not happen in time.
  package func waitForPublished(beyond sequence: UInt64, atMost span: Seconds) -> Bool {
    let end = MonotonicTime.now + span
    while true {
      let seen = published
      if seen > sequence { return true }
      let left = end - .now
      if left.value <= 0 { return false }
      // The kernel compares the word again before it sleeps, so that a frame published meanwhile is not missed.
      if unsafe clinux_futex_wait(futexWord, UInt32(truncatingIfNeeded: seen), left.nanoseconds) < 0 {
        // A file system whose pages futexes do not know: look every 0.2 ms.
        sleepThread(for: min(left, Seconds(0.0002)))
      }
    }
  }

  /// Copies a frame that nobody keeps for the caller.
  /// - Returns: nil when it is not there yet, was overwritten, is being overwritten, or is larger than `destination`.
  package func copy(_ sequence: UInt64, into destination: UnsafeMutableRawBufferPointer) -> FrameHeader? {
    let published = published
    guard sequence < published, published - sequence <= UInt64(slotCount) else { return nil }
    let index = Int(sequence % UInt64(slotCount))
    // Acquiring: what is read below is at least as new as this sequence.
    guard self.sequence(at: index).loadAcquiring() == sequence else { return nil }
    let frame = header(at: index)
    guard frame.bytes <= destination.count, !frame.flags.contains(.malformed) else { return nil }
    unsafe destination.copyMemory(from: UnsafeRawBufferPointer(start: pixels(at: index), count: frame.bytes))
    // The fence keeps the look below behind the copy above; then relaxed is enough.
    atomicMemoryFence(ordering: .acquiring)
    guard self.sequence(at: index).loadRelaxed() == sequence else { return nil }
    return frame
  }

  /// What is known of a frame that nobody keeps for the caller, without its pixels.
  /// - Returns: nil when it is not there yet, was overwritten, is being overwritten, or contradicts itself.
  package func peek(_ sequence: UInt64) -> FrameHeader? {
    let published = published
    guard sequence < published, published - sequence <= UInt64(slotCount) else { return nil }
    let index = Int(sequence % UInt64(slotCount))
    // As in `copy`: acquiring before, a fence behind, and a second look.
    guard self.sequence(at: index).loadAcquiring() == sequence else { return nil }
    let frame = header(at: index)
    atomicMemoryFence(ordering: .acquiring)
    guard self.sequence(at: index).loadRelaxed() == sequence, !frame.flags.contains(.malformed) else { return nil }
    return frame
  }

  // MARK: The layout

  static let publishedOffset = 64

  private enum Field {
    static let published = publishedOffset
    static let refused = 72
    static let consumed = 128
  }

  private var header: UnsafeMutablePointer<frame_ring_header> {
    unsafe base.assumingMemoryBound(to: frame_ring_header.self)
  }

  private func slot(at index: Int) -> UnsafeMutablePointer<frame_ring_slot> {
    unsafe (base + Self.page + index * slotStride).assumingMemoryBound(to: frame_ring_slot.self)
  }

  private func pixels(at index: Int) -> UnsafeMutableRawPointer {
    unsafe base + 2 * Self.page + index * slotStride
  }

  /// The mapping outlives every use: `self` keeps it.
  private func word(_ offset: Int) -> SharedWord { unsafe SharedWord(base + offset) }
  private func sequence(at index: Int) -> SharedWord { word(Self.page + index * slotStride) }

  /// The low half of `published` (little-endian), for futex waits.
  private var futexWord: UnsafePointer<UInt32> {
    unsafe UnsafePointer((base + Field.published).assumingMemoryBound(to: UInt32.self))
  }

  /// Reads the fields of a slot. Another process may have written them: nothing is believed that does not fit.
  private func header(at index: Int) -> FrameHeader {
    let slot = unsafe slot(at: index)
    var frame = unsafe FrameHeader(
      frameNumber: slot.pointee.frame_number, deviceNanoseconds: slot.pointee.device_time_ns,
      exposureNanoseconds: slot.pointee.exposure_ns,
      arrival: MonotonicTime(nanoseconds: slot.pointee.arrival_ns), series: slot.pointee.series,
      refusedBefore: slot.pointee.refused_before, unusableBefore: slot.pointee.unusable_before,
      flags: FrameFlags(rawValue: slot.pointee.flags & ~FRAME_RING_FLAG_STATISTICS).subtracting(.malformed),
      pixelType: PixelType(rawValue: slot.pointee.pixel_type) ?? .u8, width: Int(slot.pointee.width),
      height: Int(slot.pointee.height), step: slot.pointee.step, pixelCRC: slot.pointee.pixel_crc32c,
      statistics: slot.pointee.statistics)
    let isKnown = unsafe PixelType(rawValue: slot.pointee.pixel_type) != nil
    let bytes = unsafe slot.pointee.bytes
    // Checked multiplication: two 32-bit sides of four bytes each do not fit an Int.
    let (area, areaOverflow) = frame.width.multipliedReportingOverflow(by: frame.height)
    let (product, overflow) = area.multipliedReportingOverflow(by: frame.pixelType.bytesPerPixel)
    if !isKnown || areaOverflow || overflow || UInt64(product) != bytes || product > slotBytes {
      frame.flags.insert(.malformed)
      frame.width = 0
      frame.height = 0
    }
    return frame
  }
}
