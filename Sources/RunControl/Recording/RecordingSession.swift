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
  /// At 839 MB/s the disk is asked before another 84 MB are on it.
  private static let diskInterval = Seconds(0.1)
  /// Previews have at most so many pixels to a side, and so many are written in a second.
  private static let previewSide = 128
  private static let previewInterval = Seconds(0.1)

  /// What a slot was dealt with as.
  enum Fate { case written, skipped, none }

  private let run: ActiveRun
  private let camera: RunCamera
  private let publisher: StreamPublisher
  private let output: FrameOutput
  private let accounts = Accounts()
  private var pressure: DiskPressure
  private var triggered: UInt64 = 0

  // The rule in force: of this series and this step.
  private var rule = Rule(.off)
  private var ruleStep = UInt32.max
  private var ruleSeries = UInt64.max
  private var openSum: (work: StoredWork, buffer: FrameBuffer, shape: (type: PixelType, width: Int, height: Int))?
  private var nextLookAtDisk = MonotonicTime(nanoseconds: 0)
  private let keepFree: Int64
  private var nextPreview = MonotonicTime(nanoseconds: 0)

  private var shown = MonotonicTime(nanoseconds: 0)

  /// The accounts of all series, known to the output as well.
  private final class Accounts {
    var series: [UInt64: SeriesAccount] = [:]
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

  /// - Parameters:
  ///   - slots: of the ring that the frames lie in.
  ///   - counted: electrons per Å² that a frame, or a sum of frames, counted; nil where that is not known.
  init(
    _ run: ActiveRun, _ camera: RunCamera, _ settings: RecorderSettings, _ publisher: StreamPublisher, slots: Int,
    counted: @escaping (FrameHeader) -> StoredStatistics.Uncertain? = { _ in nil }
  ) {
    self.run = run
    self.camera = camera
    self.publisher = publisher
    pressure = DiskPressure(settings.degradations)
    keepFree = settings.keepFree
    output = FrameOutput(run, camera, settings, publisher, slots: slots, counted: counted) {
      [accounts] work, isStored in
      if isStored {
        accounts.series[work.header.series]?.noteWritten(work, rule: work.rule, at: work.header.arrival)
      } else {
        accounts.series[work.header.series]?.noteRefused(
          work.numbers, frames: work.frames, step: work.header.step, cause: Self.diskCause)
      }
    }
  }

  /// Frames whose memory was lent so far, and how many of them nobody needs any more.
  var lent: UInt64 { output.lent }
  var returned: UInt64 { output.returned }
  /// How many of them do not wait to be written together with others, or to be compressed.
  var begun: UInt64 { output.begun }
  var isWriting: Bool { output.isWriting }
  /// The next frame would be waited with, for the disk.
  var mustWait: Bool { output.mustWait }
  /// Why frames could not be written; nil where all could.
  var failure: String? { output.failure.map { "\($0)" } }

  private var series: [UInt64: SeriesAccount] {
    get { accounts.series }
    _modify { yield &accounts.series }
  }

  func begin(_ number: UInt64) {
    if series[number] == nil { series[number] = SeriesAccount(camera: camera.id, series: number) }
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
    output.passOn()
    show(frame.arrival)
    return (fate, lookBack)
  }

  /// Writes a frame that was skipped when it came.
  func keep(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer, wasSeen: Bool) -> Fate {
    guard !frame.flags.contains(.seriesEnd), frame.bytes > 0, output.failure == nil, !pressure.isFull else {
      return .none
    }
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
    unsafe output.put(StoredWork(header: kept, frames: 1, numbers: numbers, rule: "kept by looking back"), pixels)
    output.passOn()
    return .written
  }

  /// A series whose beginning was before the run has an account from here on.
  private func beginPartly(_ frame: FrameHeader) {
    guard series[frame.series] == nil else { return }
    series[frame.series] = SeriesAccount(camera: camera.id, series: frame.series, from: frame.frameNumber)
  }

  private func takeRule(of frame: FrameHeader) {
    guard frame.step != ruleStep || frame.series != ruleSeries else { return }
    if openSum != nil { endSum() }
    let steps = run.compiled.steps
    let wanted = Int(frame.step) < steps.count ? steps[Int(frame.step)].recording[camera.name] : .off
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
        message: "\(camera.name): frame \(frame.frameNumber) of series \(frame.series), \(trigger): \(value)"))
  }

  private func take(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer) -> Fate {
    guard output.failure == nil else {
      series[frame.series]!.noteRefused(
        frame.frameNumber...frame.frameNumber, frames: 1, step: frame.step, cause: Self.diskCause)
      return .none
    }
    guard pressure.admits() else {
      if pressure.measure == .previews, frame.arrival >= nextPreview {
        nextPreview = frame.arrival + Self.previewInterval
        return unsafe writePreview(frame, pixels)
      }
      let why = pressure.isFull ? "the disk is nearly full" : "the disk does not keep up"
      let rule = "\(pressure.measure ?? .stop): \(why)"
      series[frame.series]!.noteGivenUp(frame, cause: SeriesLedger.behindCause, rule: rule, at: frame.arrival)
      return .none
    }
    let numbers = frame.frameNumber...frame.frameNumber
    guard let reduction = rule.reduction else {
      unsafe output.put(StoredWork(header: frame, frames: 1, numbers: numbers, rule: rule.words), pixels)
      return .written
    }
    guard let shape = reduction.shape(of: frame) else {
      refuse(frame, cause: "unusable")
      return .none
    }
    let buffer = output.buffer(of: shape, zeroed: reduction.isSum, beside: openSum?.buffer)
    unsafe reduction.apply(frame, pixels, to: buffer.memory.bytes)
    let work = StoredWork(header: frame, frames: 1, numbers: numbers, rule: rule.words)
    if reduction.isSum, rule.recording.average > 1 {
      openSum = (work, buffer, shape)
    } else {
      output.write(work, buffer, shape)
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
      _ = unsafe take(frame, pixels)
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
    output.write(sum.work, sum.buffer, sum.shape)
  }

  private func writePreview(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer) -> Fate {
    let reduction = FrameReduction(side: Self.previewSide, of: frame)
    guard let shape = reduction.shape(of: frame) else {
      // A line or two have no bin.
      series[frame.series]!.noteGivenUp(
        frame, cause: SeriesLedger.behindCause, rule: "previews: nothing is left of it", at: frame.arrival)
      return .none
    }
    let buffer = output.buffer(of: shape, zeroed: true, beside: openSum?.buffer)
    unsafe reduction.apply(frame, pixels, to: buffer.memory.bytes)
    var header = frame
    header.flags.insert(.preview)
    let numbers = frame.frameNumber...frame.frameNumber
    output.write(StoredWork(header: header, frames: 1, numbers: numbers, rule: "previews"), buffer, shape)
    return .written
  }

  // MARK: Series, and the end

  func end(_ ended: EndedSeries) {
    if ruleSeries == ended.series { endSum() }
    flush()
    // Of a series that was over before the run began, or had no frame in it, nothing is the run's.
    guard series[ended.series] != nil else { return }
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
    output.close()
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

  func flush() { output.flush() }
  func reap(waitingAtMost span: Seconds) { output.reap(waitingAtMost: span) }
  func writeGathered() { output.writeGathered() }
  func synchronize() { output.synchronize() }

  /// Looks at how much of the ring waits, and from time to time at what is free on the disk.
  func note(waiting: Int, taken: Int, of slots: Int) {
    let now = MonotonicTime.now
    var changed = pressure.note(waiting: waiting, taken: taken, of: slots, at: now)
    if now >= nextLookAtDisk {
      nextLookAtDisk = now + Self.diskInterval
      let free = FileSystem.freeBytes(at: run.directory.path) ?? .max
      if pressure.note(isFull: free < keepFree) { changed = true }
    }
    guard changed else { return }
    let measure = pressure.measure
    let why = pressure.isFull ? "the disk is nearly full" : "\(taken) of \(slots) slots wait for the disk"
    let what = measure.map { "from now on: \($0)" } ?? "every frame that is wanted is written again"
    run.writer.put(
      .event(kind: "storage_degraded", message: "\(camera.name): \(why); \(what)"))
    publisher.publish(event: "storage_degraded", "\(camera.name): \(why); \(what)")
    guard measure == .stop else { return }
    let reason = pressure.isFull ? "less than storage.keep_free is left" : "storage.degrade says stop"
    run.signals.push(.failed("\(camera.name): \(why): \(reason)"))
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
    run.update { [camera = camera] in $0.framesByCamera[camera] = counts }
  }
}
