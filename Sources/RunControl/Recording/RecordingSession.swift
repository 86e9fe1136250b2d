import BiasProtocol
import ControlProtocol
import FrameIngest
import FrameRing
import Linux
import Pixels
import Quantities
import RunStore

/// The frames of one camera in one run: which are written, the files they go to, and the account of each series. Lives on
/// the recorder's thread.
final class RecordingSession {
  /// `status` need not know more often than this.
  private static let showInterval = Seconds(0.05)
  /// Cause of frames that came and could not be written.
  private static let diskCause = "disk"
  /// Buffers for frames that are written otherwise than they came.
  private static let mostBuffers = 16
  /// At 839 MB/s the disk is asked before another 84 MB are on it.
  private static let diskInterval = Seconds(0.1)
  /// Previews have at most so many pixels to a side, and so many are written in a second.
  private static let previewSide = 128
  private static let previewInterval = Seconds(0.1)

  /// What a slot was dealt with as.
  enum Fate { case written, skipped, none }

  private let run: ActiveRun
  private let files: FrameFiles
  private let publisher: StreamPublisher
  private let writer: SegmentWriter
  private let stored: StoredFrames
  private var pressure: DiskPressure
  private var series: [UInt64: SeriesAccount] = [:]
  private var triggered: UInt64 = 0

  /// What is under way to the file, in order; before `done` it is there.
  private var underWay: [StoredWork] = []
  private var done = 0
  private var statistics: [StoredStatistics] = []

  // The rule in force: of this series and this step.
  private var rule = Rule(.off)
  private var ruleStep = UInt32.max
  private var ruleSeries = UInt64.max
  private var openSum: (work: StoredWork, buffer: FrameBuffer, shape: (type: PixelType, width: Int, height: Int))?
  private var nextLookAtDisk = MonotonicTime(nanoseconds: 0)
  private let keepFree: Int64
  private let compression: FrameCompression?
  private var nextPreview = MonotonicTime(nanoseconds: 0)

  private var buffers: [FrameBuffer] = []
  private var meter: PixelMeter?
  private let counted: (FrameHeader) -> StoredStatistics.Uncertain?
  /// Why nothing can be written any more.
  private var failure: SegmentError?
  private var toldNotice = false
  private var shown = MonotonicTime(nanoseconds: 0)

  /// What the writer's callback says, collected until the frame is dealt with.
  private final class StoredFrames {
    var frames: [StoredFrame] = []
  }

  /// What a step wants of the camera.
  private struct Rule {
    let recording: Recording
    var selector: FrameSelector
    var watch: TriggerWatch?
    let reduction: FrameReduction?
    let words: String

    init(_ recording: Recording) {
      self.recording = recording
      selector = FrameSelector(recording.runs ? recording.keep : .none)
      watch = recording.runs ? recording.trigger.map(TriggerWatch.init) : nil
      let isReduced = recording.average > 1 || recording.region != nil
      reduction = isReduced ? FrameReduction(region: recording.region, average: recording.average) : nil
      words = recording.runs ? "\(recording)" : "off"
    }
  }

  /// - Parameter counted: electrons per Å² that a frame, or a sum of frames, counted; nil where that is not known.
  init(
    _ run: ActiveRun, _ camera: RunCamera, _ settings: RecorderSettings, _ publisher: StreamPublisher,
    counted: @escaping (FrameHeader) -> StoredStatistics.Uncertain? = { _ in nil }
  ) {
    self.run = run
    self.publisher = publisher
    self.counted = counted
    files = FrameFiles(run.directory, camera)
    pressure = DiskPressure(settings.degradations)
    keepFree = settings.keepFree
    var segments = SegmentSettings()
    segments.segmentBytes = settings.segmentBytes
    segments.note = run.id
    segments.compression = settings.compression
    compression = settings.compression
    let stored = StoredFrames()
    self.stored = stored
    writer = SegmentWriter(files, segments) { stored.frames += $0 }
  }

  /// Frames whose memory was lent to the writer so far, and how many of them it needs no more.
  var lent: UInt64 { writer.framesHandedOver }
  var returned: UInt64 { writer.framesReleased }
  var isWriting: Bool { writer.isWriting }

  func begin(_ number: UInt64) {
    if series[number] == nil { series[number] = SeriesAccount(camera: files.camera.id, series: number) }
  }

  // MARK: A frame

  /// Deals with a frame as its step wants it.
  /// - Returns: what became of it, and whether a trigger asks for the frames before it.
  func record(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer) -> (fate: Fate, lookBack: Seconds?) {
    guard !frame.flags.contains(.seriesEnd), frame.bytes > 0 else { return (.none, nil) }
    beginPartly(frame)
    guard series[frame.series]!.observe(frame) != .repeated else { return (.none, nil) }
    takeRule(of: frame)
    var lookBack: Seconds?
    var isWanted = false
    if let (fires, isOpen) = rule.watch?.look(at: frame) {
      isWanted = isOpen
      if fires { lookBack = rule.watch?.trigger.before }
      if fires { tellTrigger(frame) }
    }
    var fate = Fate.skipped
    if openSum != nil {
      unsafe addToSum(frame, pixels)
      fate = .written
    } else if rule.selector.wants(frame) || isWanted {
      fate = unsafe take(frame, pixels)
    } else {
      series[frame.series]!.noteSkipped(frame, rule: rule.words, at: frame.arrival)
    }
    passOn()
    show(frame.arrival)
    return (fate, lookBack)
  }

  /// Writes a frame that was skipped when it came.
  func keep(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer, wasSeen: Bool) -> Fate {
    guard !frame.flags.contains(.seriesEnd), frame.bytes > 0, failure == nil else { return .none }
    if !wasSeen {
      beginPartly(frame)
      guard series[frame.series]!.observe(frame) != .repeated else { return .none }
    } else if series[frame.series] == nil {
      return .none
    } else {
      series[frame.series]!.noteKept(frame, rule: "kept by looking back", at: frame.arrival)
    }
    var kept = frame
    kept.flags.insert(.kept)
    let numbers = frame.frameNumber...frame.frameNumber
    unsafe put(StoredWork(header: kept, frames: 1, numbers: numbers, rule: "kept by looking back"), pixels)
    passOn()
    return .written
  }

  /// A series whose beginning was before the run has an account from here on.
  private func beginPartly(_ frame: FrameHeader) {
    guard series[frame.series] == nil else { return }
    series[frame.series] = SeriesAccount(camera: files.camera.id, series: frame.series, from: frame.frameNumber)
  }

  private func takeRule(of frame: FrameHeader) {
    guard frame.step != ruleStep || frame.series != ruleSeries else { return }
    if openSum != nil { endSum() }
    let steps = run.compiled.steps
    let wanted = Int(frame.step) < steps.count ? steps[Int(frame.step)].recording[files.camera.name] : .off
    // The next step goes on as this one did, when it wants the same.
    if wanted != rule.recording || frame.series != ruleSeries { rule = Rule(wanted) }
    ruleStep = frame.step
    ruleSeries = frame.series
  }

  private func tellTrigger(_ frame: FrameHeader) {
    guard let trigger = rule.watch?.trigger else { return }
    let value = trigger.statistic.value(of: frame) ?? .nan
    run.writer.put(
      .event(
        kind: "frame_trigger",
        message: "\(files.camera.name): frame \(frame.frameNumber) of series \(frame.series), \(trigger): \(value)"))
  }

  private func take(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer) -> Fate {
    guard failure == nil else {
      series[frame.series]!.noteRefused(
        frame.frameNumber...frame.frameNumber, frames: 1, step: frame.step, cause: Self.diskCause)
      return .none
    }
    guard pressure.admits() else {
      if pressure.measure == .previews, frame.arrival >= nextPreview {
        nextPreview = frame.arrival + Self.previewInterval
        return unsafe writePreview(frame, pixels)
      }
      let rule = "\(pressure.measure ?? .stop): the disk does not keep up"
      series[frame.series]!.noteGivenUp(frame, cause: SeriesLedger.behindCause, rule: rule, at: frame.arrival)
      return .none
    }
    let numbers = frame.frameNumber...frame.frameNumber
    guard let reduction = rule.reduction else {
      unsafe put(StoredWork(header: frame, frames: 1, numbers: numbers, rule: rule.words), pixels)
      return .written
    }
    guard let shape = reduction.shape(of: frame) else {
      refuse(frame, cause: "unusable")
      return .none
    }
    let buffer = buffer(of: shape, zeroed: reduction.isSum)
    unsafe reduction.apply(frame, pixels, to: buffer.memory.bytes)
    let work = StoredWork(header: frame, frames: 1, numbers: numbers, rule: rule.words)
    if reduction.isSum, rule.recording.average > 1 {
      openSum = (work, buffer, shape)
    } else {
      write(work, buffer, shape)
    }
    return .written
  }

  private func refuse(_ frame: FrameHeader, cause: String) {
    series[frame.series]!.noteRefused(
      frame.frameNumber...frame.frameNumber, frames: 1, step: frame.step, cause: cause)
  }

  private func addToSum(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer) {
    guard var sum = openSum, let reduction = rule.reduction, let shape = reduction.shape(of: frame),
      shape == sum.shape, frame.frameNumber == sum.work.numbers.upperBound + 1
    else {
      // A hole, or another shape: what there is, is written, and this frame begins anew.
      endSum()
      if unsafe take(frame, pixels) == .skipped { refuse(frame, cause: "unusable") }
      return
    }
    unsafe reduction.apply(frame, pixels, to: sum.buffer.memory.bytes)
    sum.work.frames += 1
    sum.work.numbers = sum.work.numbers.lowerBound...frame.frameNumber
    sum.work.header.arrival = frame.arrival
    let end = frame.deviceNanoseconds + frame.exposureNanoseconds
    let isTimed = !frame.flags.contains(.noDeviceTime) && !sum.work.header.flags.contains(.noDeviceTime)
    sum.work.header.exposureNanoseconds =
      isTimed
      ? max(0, end - sum.work.header.deviceNanoseconds)
      : sum.work.header.exposureNanoseconds + frame.exposureNanoseconds
    openSum = sum
    if sum.work.frames >= UInt64(rule.recording.average) { endSum() }
  }

  private func endSum() {
    guard let sum = openSum else { return }
    openSum = nil
    write(sum.work, sum.buffer, sum.shape)
  }

  private func writePreview(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer) -> Fate {
    let reduction = FrameReduction(side: Self.previewSide, of: frame)
    guard let shape = reduction.shape(of: frame) else { return .none }
    let buffer = buffer(of: shape, zeroed: true)
    unsafe reduction.apply(frame, pixels, to: buffer.memory.bytes)
    var header = frame
    header.flags.insert(.preview)
    let numbers = frame.frameNumber...frame.frameNumber
    write(StoredWork(header: header, frames: 1, numbers: numbers, rule: "previews"), buffer, shape)
    return .written
  }

  // MARK: To the file

  /// Writes pixels that are not those of the frame as it came.
  private func write(
    _ work: StoredWork, _ buffer: FrameBuffer, _ shape: (type: PixelType, width: Int, height: Int)
  ) {
    var work = work
    work.header.pixelType = shape.type
    work.header.width = shape.width
    work.header.height = shape.height
    let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.memory.bytes[..<work.header.bytes])
    let change = work.header.statistics?.change
    let meter = meter(atLeast: work.header.bytes)
    unsafe meter.begin(shape.type, width: shape.width, height: shape.height, in: bytes)
    meter.take(work.header.bytes)
    let (crc, statistics) = meter.finish()
    work.header.pixelCRC = crc
    work.header.statistics = statistics
    // Of the camera's frames; a reference for these there is not.
    work.header.statistics?.change = change
    unsafe put(work, UnsafeRawBufferPointer(bytes))
    buffer.lentUntil = writer.framesHandedOver
  }

  private func put(_ work: StoredWork, _ pixels: UnsafeRawBufferPointer) {
    let frame = work.header
    var record = RecordedFrame(
      frameNumber: frame.frameNumber, deviceNanoseconds: frame.deviceNanoseconds,
      exposureNanoseconds: frame.exposureNanoseconds, arrival: frame.arrival, series: frame.series,
      flags: frame.flags.rawValue | IndexRecord.sumBits(of: work.frames), step: frame.step,
      shape: FrameShape(width: frame.width, height: frame.height, bytesPerPixel: frame.pixelType.bytesPerPixel))
    record.pixelCRC = frame.pixelCRC == 0 ? nil : frame.pixelCRC
    underWay.append(work)
    guard failure == nil else { return refuseLast() }
    do throws(SegmentError) {
      unsafe try writer.append(record, pixels, at: .now)
    } catch {
      if error.kind == .badFrame { refuseLast() } else { fail(error) }
    }
  }

  private func meter(atLeast bytes: Int) -> PixelMeter {
    if let meter, meter.largestFrameBytes >= bytes { return meter }
    let new = PixelMeter(largestFrameBytes: bytes)
    meter = new
    return new
  }

  /// Memory that nobody reads any more.
  private func buffer(of shape: (type: PixelType, width: Int, height: Int), zeroed: Bool) -> FrameBuffer {
    let count = shape.width * shape.height * shape.type.bytesPerPixel
    while true {
      let free = buffers.firstIndex { $0.lentUntil <= writer.framesReleased && $0 !== openSum?.buffer }
      if let free, buffers[free].count >= count {
        if zeroed {
          unsafe UnsafeMutableRawBufferPointer(rebasing: buffers[free].memory.bytes[..<count]).initializeMemory(
            as: UInt8.self, repeating: 0)
        }
        return buffers[free]
      }
      if let free {
        buffers.remove(at: free)
      } else if buffers.count >= Self.mostBuffers {
        do throws(SegmentError) { try writer.reap(waitingAtMost: Seconds(1)) } catch { fail(error) }
        continue
      }
      buffers.append(FrameBuffer(count: count))
    }
  }

  // MARK: Series, and the end

  func end(_ ended: EndedSeries) {
    if ruleSeries == ended.series { endSum() }
    flush()
    begin(ended.series)
    for (cause, count) in ended.unusable.sorted(by: { $0.key < $1.key }) {
      run.writer.put(.event(kind: "frames_unusable", message: "\(count) frames of series \(ended.series): \(cause)"))
    }
    let repeated = series[ended.series]!.detector.repeatedFrames
    if repeated > 0 {
      run.writer.put(
        .event(
          kind: "frames_repeated",
          message: "series \(ended.series): \(repeated) frames came again and were not written twice"))
    }
    settle(ended.series, ended)
    triggered += ended.triggered ?? 0
    showCounts()
  }

  /// Closes the files, and the accounts of series that never ended.
  func close() {
    endSum()
    flush()
    do throws(SegmentError) { try writer.close() } catch { fail(error) }
    passOn()
    // Those that are settled too: frames of theirs may have been kept afterwards.
    for number in series.keys.sorted() {
      settle(number, series[number]!.isSettled ? nil : series[number]!.endWithoutWord)
    }
    showCounts()
  }

  private func settle(_ number: UInt64, _ ended: EndedSeries?) {
    let (gaps, choices, ledger) = series[number]!.settle(ended)
    run.writer.put(.gaps(gaps))
    if !choices.isEmpty { run.writer.put(.choices(choices)) }
    run.writer.put(.ledger(ledger))
  }

  func flush() {
    guard failure == nil else { return }
    do throws(SegmentError) { try writer.flush() } catch { fail(error) }
    passOn()
  }

  /// Takes in what was written meanwhile.
  func reap(waitingAtMost span: Seconds) {
    guard failure == nil else { return }
    do throws(SegmentError) { try writer.reap(waitingAtMost: span) } catch { fail(error) }
    passOn()
  }

  func synchronize() {
    guard failure == nil else { return }
    writer.synchronize()
  }

  /// Looks at how much of the ring waits, and from time to time at what is free on the disk.
  func note(waiting: Int, of slots: Int) {
    let now = MonotonicTime.now
    var changed = pressure.note(waiting: waiting, of: slots, at: now)
    if now >= nextLookAtDisk {
      nextLookAtDisk = now + Self.diskInterval
      let free = FileSystem.freeBytes(at: run.directory.path) ?? .max
      if pressure.note(isFull: free < keepFree) { changed = true }
    }
    guard changed else { return }
    let measure = pressure.measure
    let why = pressure.isFull ? "the disk is nearly full" : "\(waiting) of \(slots) slots wait for the disk"
    let what = measure.map { "from now on: \($0)" } ?? "every frame that is wanted is written again"
    run.writer.put(
      .event(kind: "storage_degraded", message: "\(files.camera.name): \(why); \(what)"))
    publisher.publish(event: "storage_degraded", "\(files.camera.name): \(why); \(what)")
    if measure == .stop { run.signals.push(.failed("\(files.camera.name): \(why), and storage.degrade says stop")) }
  }

  // MARK: What has been written

  private func passOn() {
    if let notice = writer.notice, !toldNotice {
      toldNotice = true
      run.writer.put(.event(kind: "storage", message: notice))
    }
    guard !stored.frames.isEmpty else { return }
    let frames = stored.frames
    stored.frames.removeAll(keepingCapacity: true)
    for item in frames {
      let work = underWay[done]
      done += 1
      series[work.header.series]?.noteWritten(work, rule: work.rule, at: work.header.arrival)
      noteStatistics(work, position: item.record.position)
      publisher.publish(
        work.header,
        at: StreamReference(
          file: files.pixelsPath(item.segment, compression == nil ? .plain : .compressed), offset: item.offsetBytes,
          byteCount: Int64(item.storedBytes), encoding: item.encoding.method?.rawValue),
        of: files.camera)
    }
    if done >= 64 || done == underWay.count {
      underWay.removeFirst(done)
      done = 0
    }
    run.writer.put(.frames(frames, files.camera))
    if !statistics.isEmpty {
      run.writer.put(.statistics(statistics, files.camera))
      statistics.removeAll(keepingCapacity: true)
    }
  }

  private func noteStatistics(_ work: StoredWork, position: UInt64) {
    guard let found = work.header.statistics else { return }
    statistics.append(
      StoredStatistics(
        position: position, sum: found.sum, mean: found.mean(of: work.header.width * work.header.height),
        minimum: found.minimum, maximum: found.maximum, saturated: found.saturated,
        change: found.change.map(Double.init),
        regionMeans: (0..<found.regionCount).map { found[region: $0] },
        counted: work.header.flags.contains(.preview) ? nil : counted(work.header)))
  }

  /// A frame that can never be stored; the others are not touched.
  private func refuseLast() {
    guard let work = underWay.popLast() else { return }
    series[work.header.series]?.noteRefused(
      work.numbers, frames: work.frames, step: work.header.step, cause: Self.diskCause)
  }

  /// What was under way is not on the file; what comes from now on is refused too.
  private func fail(_ error: SegmentError) {
    passOn()
    for work in underWay[done...] {
      series[work.header.series]?.noteRefused(
        work.numbers, frames: work.frames, step: work.header.step, cause: Self.diskCause)
    }
    underWay = []
    done = 0
    guard failure == nil else { return }
    failure = error
    run.signals.push(.failed("frames cannot be written: \(error)"))
  }

  private func show(_ now: MonotonicTime) {
    guard now - shown > Self.showInterval else { return }
    shown = now
    showCounts()
    for number in series.keys {
      let choices = series[number]!.takeChoices(at: now)
      if !choices.isEmpty { run.writer.put(.choices(choices)) }
    }
  }

  private func showCounts() {
    var counts = FrameCounts()
    for account in series.values { counts.add(account.counts) }
    counts.triggered = triggered
    run.update { [camera = files.camera] in $0.framesByCamera[camera] = counts }
  }
}
