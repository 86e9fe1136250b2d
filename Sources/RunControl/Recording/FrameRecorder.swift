import ControlProtocol
import FrameIngest
package import FrameRing
package import Linux
package import Pixels
package import Quantities
package import RunStore

/// What the camera's thread knew of a series when it ended.
package struct EndedSeries: Sendable {
  var series: UInt64
  var triggered: UInt64?
  var refusedByRing: UInt64
  var unusable: [String: UInt64]

  package init(series: UInt64, triggered: UInt64?, refusedByRing: UInt64, unusable: [String: UInt64]) {
    self.series = series
    self.triggered = triggered
    self.refusedByRing = refusedByRing
    self.unusable = unusable
  }
}

/// How frames are recorded.
package struct RecorderSettings: Sendable {
  /// A segment ends before it grows beyond this, bytes.
  var segmentBytes: Int64
  /// With less free on the disk, previews are the most that is written, bytes.
  var keepFree: Int64
  var degradations: [Degradation]
  /// nil: frames are written as they came.
  package var compression: FrameCompression?
  /// Makes the queue of transfers, with room for so many; nil: the best this kernel has. For tests and measurements.
  package var queue: (@Sendable (_ limit: Int) -> any FileQueue)?

  package init(
    segmentBytes: Int64, keepFree: Int64, degradations: [Degradation], compression: FrameCompression? = nil
  ) {
    self.segmentBytes = segmentBytes
    self.keepFree = keepFree
    self.degradations = degradations
    self.compression = compression
  }
}

/// What was found when somebody looked back.
package struct KeptFrames: Sendable {
  var frames: UInt64 = 0
  /// Arrival of the oldest that the ring still held; nil: it held none of that time.
  var oldest: MonotonicTime?
}

/// The reader of the ring that must not lose: takes every frame, has it written from where it lies, and gives its slot back
/// when the disk has it. Slots are given back as late as the camera allows, so that the last seconds can still be kept.
package final class FrameRecorder: Sendable {
  /// fdatasync(2) of pixels and index about this often: what a power cut may take.
  private static let synchronizeInterval = Seconds(2)
  /// Small frames do not wait in memory longer than this when no more come.
  private static let flushAfter = Seconds(0.1)
  /// The camera is given slots so often while the disk has enough to do.
  private static let writerPatience = Seconds(0.005)
  /// A recorder that does nothing for so long is taken to hang.
  private static let longestStandstill = Seconds(30)
  /// Slots that are free for the camera while the recorder keeps up: half of a small ring, an eighth of a large one.
  private static let fewestFree = 256
  private static let shareFree = 8
  /// From the first frame that waits to be written together with others there is at most this part of the ring: four writes
  /// under way and those that wait leave the camera most of it, though frames between them are not written.
  private static let shareGathered = 16

  private enum Command: Sendable {
    case begin(ActiveRun, RecorderSettings)
    case seriesStarted(UInt64)
    /// `upTo`: the ring's `published` when the series ended; all its frames lie below.
    case seriesEnded(EndedSeries, upTo: UInt64)
    case keep(Seconds, Monitor<KeptFrames?>)
    case end(forgetsSeries: Bool)
  }

  private struct Shared {
    var commands: [Command] = []
    var openSeries: Set<UInt64> = []
    var isRecording = false
    var isEnding = false
    var waiting = 0
    var beats: UInt64 = 0
  }

  private let camera: RunCamera
  private let ring: FrameRing
  private let publisher: StreamPublisher
  private let counted: @Sendable (FrameHeader) -> StoredStatistics.Uncertain?
  private let shared = Monitor(Shared())
  private let failures = Monitor<String?>(nil)
  private let thread = Monitor<NamedThread?>(nil)

  /// - Parameter counted: electrons per Å² that a frame of this camera counted.
  package init(
    camera: RunCamera, ring: FrameRing, publisher: StreamPublisher,
    counted: @escaping @Sendable (FrameHeader) -> StoredStatistics.Uncertain? = { _ in nil }
  ) {
    self.camera = camera
    self.ring = ring
    self.publisher = publisher
    self.counted = counted
    thread.update { $0 = NamedThread(camera.id == 0 ? "recorder" : "rec-\(camera.name)") { [self] in work() } }
  }

  /// Slots that are left free for the camera while the recorder keeps up.
  private var slotsFree: Int { min(ring.slotCount / 2, max(Self.fewestFree, ring.slotCount / Self.shareFree)) }
  /// Slots that can be looked back on.
  var slotsHeld: Int { ring.slotCount - slotsFree }

  /// Slots with frames that have not been dealt with.
  var waiting: Int { shared.read { $0.waiting } }

  var beats: UInt64 { shared.read { $0.beats } }

  /// From now on frames belong to `run`.
  /// - Parameter span: what was there before is kept, before another frame is taken; nil: nothing is.
  @discardableResult
  package func begin(_ run: ActiveRun, _ settings: RecorderSettings, keeping span: Seconds? = nil) -> Monitor<
    KeptFrames?
  > {
    let answer = Monitor<KeptFrames?>(nil)
    shared.update {
      $0.isRecording = true
      $0.commands.append(.begin(run, settings))
      if let span { $0.commands.append(.keep(span, answer)) }
    }
    return answer
  }

  /// Called on the camera's thread.
  package func seriesStarted(_ series: UInt64) {
    shared.update {
      $0.openSeries.insert(series)
      $0.commands.append(.seriesStarted(series))
    }
  }

  /// Called on the camera's thread, after the last frame of the series was published.
  package func seriesEnded(_ ended: EndedSeries) {
    shared.update { $0.commands.append(.seriesEnded(ended, upTo: ring.published)) }
  }

  /// The frames of the last `span` that are still in the ring, and were not written, are written now. Nothing happens
  /// without a run.
  /// - Returns: where to wait for what came of it.
  @discardableResult
  func keep(last span: Seconds) -> Monitor<KeptFrames?> {
    let answer = Monitor<KeptFrames?>(nil)
    shared.update { $0.commands.append(.keep(span, answer)) }
    return answer
  }

  /// Waits for the series that are open, then writes what is left and ends the files.
  /// - Parameter forgetsSeries: false for cameras that go on.
  /// - Returns: whether all series ended within `limit` (else they are closed as they are), whether the files were closed,
  ///   and why frames could not be written.
  package func end(within limit: Seconds, forgetsSeries: Bool = true) -> (
    seriesEnded: Bool, isClosed: Bool, failure: String?
  ) {
    let ended = shared.wait(atMost: limit) { $0.openSeries.isEmpty ? true : nil } ?? false
    shared.update { $0.commands.append(.end(forgetsSeries: forgetsSeries)) }
    let isClosed = waitWhileItGoesOn { $0.isRecording ? nil : true } ?? false
    return (ended, isClosed, failures.read { $0 })
  }

  /// What there is to write may take a while on a slow disk: waited for as long as the recorder gets on with it.
  private func waitWhileItGoesOn<R: Sendable>(_ answer: (inout Shared) -> R?) -> R? {
    var beats = self.beats
    var since = MonotonicTime.now
    while true {
      if let found = shared.wait(atMost: Seconds(1), for: answer) { return found }
      let now = self.beats
      if now != beats { (beats, since) = (now, .now) }
      if MonotonicTime.now - since > Self.longestStandstill { return nil }
    }
  }

  /// What came of `keep`; nil when the recorder stands still.
  func wait(for kept: Monitor<KeptFrames?>) -> KeptFrames? {
    waitWhileItGoesOn { _ in kept.read { $0 } }
  }

  package func shutDown() {
    shared.update { $0.isEnding = true }
    thread.read { $0 }?.join()
  }

  // MARK: The thread

  private func work() {
    var slots = RingSlots(count: ring.slotCount, next: ring.consumed)
    var session: RecordingSession?
    var lastPut = (frames: UInt64(0), at: MonotonicTime.now)
    var lastSynchronized = MonotonicTime.now
    while true {
      // First what has been published, then the commands: those that were given before a frame are obeyed before it is taken.
      let published = ring.published
      let waiting = Int(clamping: published - slots.next)
      let (commands, isEnding) = shared.update { state -> ([Command], Bool) in
        state.beats += 1
        state.waiting = waiting
        defer { state.commands = [] }
        return (state.commands, state.isEnding)
      }
      if isEnding { return }
      note(session, &slots, waiting, published)
      for command in commands { obey(command, &session, &slots) }

      if slots.next < published {
        while slots.next < published { take(session, &slots) }
      } else {
        session?.reap(waitingAtMost: Seconds(0))
      }
      // Frames that come and are not wanted are no reason to wait with those that were.
      if let session, session.lent != lastPut.frames {
        lastPut = (session.lent, .now)
      } else if MonotonicTime.now - lastPut.at > Self.flushAfter {
        session?.flush()
        lastPut.at = .now
      }
      giveBack(session, &slots)
      if let session, MonotonicTime.now - lastSynchronized > Self.synchronizeInterval {
        session.synchronize()
        lastSynchronized = .now
      }
      if let session, session.isWriting {
        // What is on the disk is told at once; a frame that comes meanwhile has time.
        session.reap(waitingAtMost: Seconds(ring.published == slots.next ? 0.002 : 0))
      } else {
        _ = ring.waitForPublished(beyond: slots.next, atMost: Seconds(0.02))
      }
    }
  }

  private func obey(_ command: Command, _ session: inout RecordingSession?, _ slots: inout RingSlots) {
    switch command {
    case .begin(let run, let settings):
      slots.forgetSession()
      // The end of the run before may have come after this one was announced.
      shared.update { $0.isRecording = true }
      session = RecordingSession(run, camera, settings, publisher, slots: ring.slotCount, counted: counted)
    case .seriesStarted(let series):
      session?.begin(series)
    case .seriesEnded(let ended, let upTo):
      while slots.next < upTo { take(session, &slots) }
      session?.end(ended)
      shared.update { _ = $0.openSeries.remove(ended.series) }
    case .keep(let span, let answer):
      var kept = KeptFrames()
      if let session {
        let since = MonotonicTime.now - span
        // In the order of their numbers: first what has been dealt with, then what has come since.
        kept = keep(since: since, session, &slots)
        takeAll(session, &slots)
        let rest = keep(since: since, session, &slots)
        kept.frames += rest.frames
        kept.oldest = kept.oldest ?? rest.oldest
      }
      answer.update { $0 = kept }
    case .end(let forgetsSeries):
      takeAll(session, &slots)
      session?.close()
      failures.update { $0 = session?.failure }
      giveBack(session, &slots)
      session = nil
      slots.forgetSession()
      shared.update { state in
        state.isRecording = false
        if forgetsSeries { state.openSeries = [] }
      }
    }
  }

  private func takeAll(_ session: RecordingSession?, _ slots: inout RingSlots) {
    let published = ring.published
    while slots.next < published { take(session, &slots) }
  }

  /// Where the disk has enough to do, the next frame waits in the ring and not in the writer: meanwhile the camera gets the
  /// slots that are only kept for looking back.
  private func waitForWriter(_ session: RecordingSession, _ slots: inout RingSlots) {
    while session.mustWait {
      session.reap(waitingAtMost: Self.writerPatience)
      giveBack(session, &slots)
      tellWaiting(session, &slots)
    }
  }

  private func take(_ session: RecordingSession?, _ slots: inout RingSlots) {
    if let session { waitForWriter(session, &slots) }
    let sequence = slots.next
    var lookBack: Seconds?
    var arrival = MonotonicTime(nanoseconds: 0)
    var fate = RecordingSession.Fate.none
    unsafe _ = ring.read(sequence) { frame, pixels in
      guard let session else { return }
      arrival = frame.arrival
      (fate, lookBack) = unsafe session.record(frame, pixels)
    }
    // What was refused, or given up for others, is in the account as that.
    slots.take(isWritten: session != nil && fate != .skipped, wasSeen: session != nil, lentUntil: session?.lent ?? 0)
    giveBack(session, &slots)
    if let lookBack, let session { _ = keep(since: arrival - lookBack, session, &slots) }
    if let session, slots.countWaiting(begun: session.begun) * Self.shareGathered > ring.slotCount {
      session.writeGathered()
    }
    // A full ring on a slow disk takes a while: each frame is a turn.
    if sequence % 16 == 0 { tellWaiting(session, &slots) }
  }

  private func tellWaiting(_ session: RecordingSession?, _ slots: inout RingSlots) {
    let published = ring.published
    let waiting = Int(clamping: published - slots.next)
    shared.update {
      $0.beats += 1
      $0.waiting = waiting
    }
    note(session, &slots, waiting, published)
  }

  private func note(_ session: RecordingSession?, _ slots: inout RingSlots, _ waiting: Int, _ published: UInt64) {
    guard let session else { return }
    let taken = Int(clamping: published - slots.firstTaken(returned: session.returned))
    session.note(waiting: waiting, taken: taken, of: ring.slotCount)
  }

  /// Writes what has arrived since then, is still there, and has not been written.
  private func keep(since: MonotonicTime, _ session: RecordingSession, _ slots: inout RingSlots) -> KeptFrames {
    var kept = KeptFrames()
    var sequence = slots.oldest
    slots.holdFrom = sequence
    while sequence < slots.next {
      waitForWriter(session, &slots)
      let place = slots[sequence]
      var fate = RecordingSession.Fate.none
      var arrival: MonotonicTime?
      unsafe _ = ring.read(sequence) { frame, pixels in
        guard frame.arrival >= since, frame.bytes > 0 else { return }
        arrival = frame.arrival
        if !place.isWritten { fate = unsafe session.keep(frame, pixels, wasSeen: place.wasSeen) }
      }
      if let arrival, place.isWritten || fate == .written { kept.oldest = kept.oldest ?? arrival }
      if fate == .written {
        kept.frames += 1
        slots.keep(sequence, lentUntil: session.lent)
      }
      sequence += 1
      slots.holdFrom = sequence
      giveBack(session, &slots)
      if sequence % 16 == 0 { shared.update { $0.beats += 1 } }
    }
    slots.holdFrom = nil
    // They are the oldest of the ring, and what comes next may not be wanted.
    session.writeGathered()
    return kept
  }

  /// Gives slots back to the camera: as many as it needs to find free ones, of those that nobody reads any more.
  private func giveBack(_ session: RecordingSession?, _ slots: inout RingSlots) {
    let free = UInt64(slotsFree)
    let published = ring.published
    guard published + free > UInt64(ring.slotCount) else { return }
    let wanted = published + free - UInt64(ring.slotCount)
    let last = slots.release(upTo: wanted, returned: session?.returned ?? .max)
    if let last { ring.release(through: last) }
  }
}

/// What the recorder knows of each slot that it has not given back. Belongs to its thread.
struct RingSlots {
  struct Place {
    /// On its way to the file, or never to be.
    var isWritten = false
    /// The session has it in an account.
    var wasSeen = false
    /// The writer needs its memory until it has returned so many frames.
    var lentUntil: UInt64 = 0
  }

  private var places: [Place]
  /// The first that has not been given back, and the first that has not been dealt with.
  private(set) var oldest: UInt64
  private(set) var next: UInt64
  /// Slots from here on are about to be read again.
  var holdFrom: UInt64?
  /// The writer needs none before it, but for those that were kept afterwards.
  private var taken: UInt64
  /// The same of those that nobody has begun to write.
  private var waiting: UInt64

  init(count: Int, next: UInt64) {
    places = Array(repeating: Place(), count: count)
    oldest = next
    taken = next
    waiting = next
    self.next = next
  }

  subscript(_ sequence: UInt64) -> Place { places[Int(sequence % UInt64(places.count))] }

  /// The next slot has been dealt with.
  mutating func take(isWritten: Bool, wasSeen: Bool, lentUntil: UInt64) {
    places[Int(next % UInt64(places.count))] = Place(isWritten: isWritten, wasSeen: wasSeen, lentUntil: lentUntil)
    next += 1
  }

  /// A slot that was dealt with before is written now.
  mutating func keep(_ sequence: UInt64, lentUntil: UInt64) {
    places[Int(sequence % UInt64(places.count))].isWritten = true
    places[Int(sequence % UInt64(places.count))].wasSeen = true
    places[Int(sequence % UInt64(places.count))].lentUntil = lentUntil
  }

  /// Nothing is known any more of what was written, and by whom.
  mutating func forgetSession() { for index in places.indices { places[index] = Place() } }

  /// The first slot that the camera cannot have, however much it needs one: it has not been dealt with, or the writer has not
  /// returned its frame, or one before it. What looking back has lent again is not meant.
  mutating func firstTaken(returned: UInt64) -> UInt64 {
    taken = firstLent(from: taken, beyond: returned)
    return taken
  }

  /// Slots from the first one whose frame, or one before it, waits to be written together with others, or to be compressed.
  mutating func countWaiting(begun: UInt64) -> Int {
    waiting = firstLent(from: waiting, beyond: begun)
    return Int(next - waiting)
  }

  private func firstLent(from place: UInt64, beyond frames: UInt64) -> UInt64 {
    var place = max(place, oldest)
    while place < next, self[place].lentUntil <= frames { place += 1 }
    return place
  }

  /// Lets go of slots below `wanted` that were dealt with and that the writer has returned.
  /// - Returns: the last of them; nil when there is none.
  mutating func release(upTo wanted: UInt64, returned: UInt64) -> UInt64? {
    let end = min(wanted, next, holdFrom ?? .max)
    let before = oldest
    while oldest < end, self[oldest].lentUntil <= returned { oldest += 1 }
    return oldest > before ? oldest - 1 : nil
  }
}
