import ControlProtocol
import FrameIngest
import FrameRing
import Linux
import Quantities
import RunStore

/// The frames of one camera in one run: the files they go to, and the account of each series. Lives on the recorder's thread.
final class RecordingSession {
  /// `status` need not know more often than this.
  private static let showInterval = Seconds(0.05)
  /// Cause of frames that came and could not be written.
  private static let diskCause = "disk"

  private let run: ActiveRun
  private let files: FrameFiles
  private let publisher: StreamPublisher
  private let writer: SegmentWriter
  private let stored: StoredFrames
  private var series: [UInt64: SeriesAccount] = [:]
  /// Series whose account is settled.
  private var settled: Set<UInt64> = []
  private var triggered: UInt64 = 0
  /// Why nothing can be written any more.
  private var failure: SegmentError?
  private var toldNotice = false
  private var shown = MonotonicTime(nanoseconds: 0)

  /// What the writer's callback says, collected until the frame is dealt with.
  private final class StoredFrames {
    var frames: [StoredFrame] = []
  }

  private struct SeriesAccount {
    var detector: GapDetector
    var written: UInt64 = 0
    /// Frames given to the writer that are not on the file yet.
    var underWay: [FrameHeader] = []
    /// Frames that came and could not be written, as ranges.
    var refused: [ClosedRange<UInt64>] = []

    var notWritten: UInt64 { refused.reduce(0) { $0 + $1.upperBound - $1.lowerBound + 1 } }

    mutating func refuse(_ frame: UInt64) {
      if let last = refused.last, last.upperBound + 1 == frame {
        refused[refused.count - 1] = last.lowerBound...frame
      } else {
        refused.append(frame...frame)
      }
    }
  }

  init(_ run: ActiveRun, _ camera: RunCamera, segmentBytes: Int64, _ publisher: StreamPublisher) {
    self.run = run
    self.publisher = publisher
    files = FrameFiles(run.directory, camera)
    var settings = SegmentSettings()
    settings.segmentBytes = segmentBytes
    settings.note = run.id
    let stored = StoredFrames()
    self.stored = stored
    writer = SegmentWriter(files, settings) { stored.frames.append($0) }
  }

  func begin(_ number: UInt64) {
    if series[number] == nil { series[number] = SeriesAccount(detector: GapDetector(series: number)) }
  }

  func record(_ frame: FrameHeader, _ pixels: UnsafeRawBufferPointer) {
    guard !frame.flags.contains(.seriesEnd), frame.bytes > 0 else { return }
    begin(frame.series)
    let verdict = series[frame.series]!.detector.observe(frame)
    guard verdict != .repeated else { return }
    guard failure == nil else {
      series[frame.series]!.refuse(frame.frameNumber)
      return
    }
    var record = RecordedFrame(
      frameNumber: frame.frameNumber, deviceNanoseconds: frame.deviceNanoseconds,
      exposureNanoseconds: frame.exposureNanoseconds, arrival: frame.arrival, series: frame.series,
      flags: frame.flags.rawValue, step: frame.step,
      shape: FrameShape(width: frame.width, height: frame.height, bytesPerPixel: frame.pixelType.bytesPerPixel))
    record.pixelCRC = frame.pixelCRC == 0 ? nil : frame.pixelCRC
    series[frame.series]!.underWay.append(frame)
    do throws(SegmentError) {
      _ = unsafe try writer.append(record, pixels, at: .now)
    } catch {
      if error.kind == .badFrame { refuseLast(of: frame.series) } else { fail(error) }
    }
    passOn()
    if frame.arrival - shown > Self.showInterval {
      shown = frame.arrival
      showCounts()
    }
  }

  func end(_ ended: EndedSeries) {
    flush()
    begin(ended.series)
    let unusable = ended.unusable.values.reduce(0, +)
    var account = series[ended.series]!
    let gaps = account.detector.finish(
      triggered: ended.triggered, refusedByRing: ended.refusedByRing, unusable: unusable)
    series[ended.series] = account
    run.writer.put(
      .gaps(
        gaps.map {
          var record = GapRecord(
            series: $0.series, first: $0.first, last: $0.last, cause: $0.cause.rawValue, camera: files.camera.id)
          record.frames = $0.frames
          return record
        }))
    for (cause, count) in ended.unusable.sorted(by: { $0.key < $1.key }) {
      run.writer.put(.event(kind: "frames_unusable", message: "\(count) frames of series \(ended.series): \(cause)"))
    }
    if account.detector.repeatedFrames > 0 {
      run.writer.put(
        .event(
          kind: "frames_repeated",
          message:
            "series \(ended.series): \(account.detector.repeatedFrames) frames came again and were not written twice"))
    }
    putLedger(ended.series, triggered: ended.triggered)
    triggered += ended.triggered ?? 0
    showCounts()
  }

  /// Closes the files, and the account of a series that never ended.
  func close() {
    flush()
    for number in series.keys.sorted() where !settled.contains(number) { putLedger(number, triggered: nil) }
    do throws(SegmentError) { try writer.close() } catch { fail(error) }
    passOn()
    showCounts()
  }

  func flush() {
    guard failure == nil else { return }
    do throws(SegmentError) { try writer.flush() } catch { fail(error) }
    passOn()
  }

  func synchronize() {
    guard failure == nil else { return }
    do throws(SegmentError) { try writer.synchronize() } catch { fail(error) }
  }

  private func putLedger(_ number: UInt64, triggered: UInt64?) {
    guard let account = series[number] else { return }
    settled.insert(number)
    run.writer.put(
      .gaps(
        account.refused.map {
          GapRecord(
            series: number, first: $0.lowerBound, last: $0.upperBound, cause: Self.diskCause, camera: files.camera.id)
        }))
    let detector = account.detector
    let ringFull = detector.missing(.ringFull)
    let unusable = detector.missing(.unusable)
    run.writer.put(
      .ledger(
        SeriesLedger(
          camera: files.camera.id, series: number, triggered: triggered,
          received: detector.frames + ringFull + unusable,
          lostAtSource: detector.missing(.lostAtSource), written: account.written,
          dropped: ["ring_full": ringFull, "unusable": unusable, Self.diskCause: account.notWritten].filter {
            $0.value > 0
          })))
  }

  private func passOn() {
    if let notice = writer.notice, !toldNotice {
      toldNotice = true
      run.writer.put(.event(kind: "storage", message: notice))
    }
    guard !stored.frames.isEmpty else { return }
    let frames = stored.frames
    stored.frames.removeAll(keepingCapacity: true)
    for item in frames {
      let number = UInt64(item.record.series)
      series[number]?.written += 1
      guard let index = series[number]?.underWay.firstIndex(where: { $0.frameNumber == item.record.frameNumber }),
        let frame = series[number]?.underWay.remove(at: index)
      else { continue }
      publisher.publish(
        frame,
        at: StreamReference(
          file: files.pixelsPath(item.segment), offset: item.offsetBytes, byteCount: Int64(frame.bytes)),
        of: files.camera)
    }
    run.writer.put(.frames(frames, files.camera))
  }

  /// A frame that can never be stored; the others are not touched.
  private func refuseLast(of number: UInt64) {
    if let frame = series[number]?.underWay.popLast() { series[number]?.refuse(frame.frameNumber) }
  }

  /// What was under way is not on the file; what comes from now on is refused too.
  private func fail(_ error: SegmentError) {
    passOn()
    for number in series.keys {
      let lost = series[number]?.underWay ?? []
      series[number]?.underWay = []
      for frame in lost { series[number]?.refuse(frame.frameNumber) }
    }
    guard failure == nil else { return }
    failure = error
    run.signals.push(.failed("frames cannot be written: \(error)"))
  }

  private func showCounts() {
    var counts = FrameCounts()
    counts.triggered = triggered
    for account in series.values {
      let (ringFull, unusable) = (account.detector.missing(.ringFull), account.detector.missing(.unusable))
      counts.received += account.detector.frames + ringFull + unusable
      counts.written += account.written
      counts.lostAtSource += account.detector.missing(.lostAtSource)
      for (cause, frames) in [("ring_full", ringFull), ("unusable", unusable), (Self.diskCause, account.notWritten)]
      where frames > 0 { counts.dropped[cause, default: 0] += frames }
    }
    run.update { [camera = files.camera] in $0.framesByCamera[camera] = counts }
  }
}
