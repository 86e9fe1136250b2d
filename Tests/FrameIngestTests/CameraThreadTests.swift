import FrameIngest
import FrameRing
import Linux
import Quantities
import Testing

@Suite("Camera thread")
struct CameraThreadTests {
  /// What the thread reported, and the thread; it is closed when the test lets go of it.
  private final class Session: @unchecked Sendable {
    let directory: TemporaryDirectory
    let ring: FrameRing
    let reports = Monitor<[CameraReport]>([])
    private(set) var thread: CameraThread!

    init(_ settings: CameraSettings, slots: Int = 16) throws {
      directory = try TemporaryDirectory()
      ring = try FrameRing.create(directory.path + "/ring", slots: slots, slotBytes: 4096)
      let reports = reports
      thread = CameraThread(try CameraModels.make(settings), ring: ring) { report in
        reports.update { $0.append(report) }
      }
    }

    deinit {
      thread.send(.close)
      thread.join()
    }

    /// Reports without clock pairs.
    var story: [CameraReport] {
      reports.read { all in all.filter { if case .clockPair = $0 { false } else { true } } }
    }

    /// Waits for the n-th report that fits.
    func wait(_ times: Int = 1, for fits: @escaping (CameraReport) -> Bool) -> Bool {
      reports.wait(atMost: Seconds(8)) { $0.filter(fits).count >= times ? true : nil } ?? false
    }

    func waitFor(_ report: CameraReport) -> Bool { wait { $0 == report } }
  }

  private func request(_ series: UInt64) -> ExposureRequest {
    ExposureRequest(series: series, framePeriod: Seconds(0.0025), exposure: Seconds(0.0024))
  }

  @Test("A series from record to stop, with its ledger")
  func series() throws {
    let server = try FakeCameraServer(.init(triggered: 8))
    let session = try Session(CameraSettings(model: "shm", url: server.socketPath), slots: 4)
    session.thread.send(.record(request(5), step: 1))
    #expect(session.waitFor(.seriesStarted(series: 5)))
    for number in 0..<5 as Range<UInt64> {
      server.send(number)
      #expect(server.ring.waitUntilEmpty())
    }
    session.ring.release(through: 3)
    server.send(5) { $0.pixelCRC ^= 7 }
    server.send(7)
    session.thread.send(.stop)
    #expect(session.waitFor(.stopped))
    let end = CameraReport.seriesEnded(
      series: 5, triggered: 8, received: 7, refusedByRing: 1,
      unusable: ["pixels that do not match their checksum": 1])
    #expect(session.story.contains(end))
    #expect(session.ring.published == 5)

    var detector = GapDetector(series: 5)
    for number in 0..<4 as Range<UInt64> { _ = detector.observe(FrameHeader(frameNumber: number, series: 5)) }
    let last = try #require(session.ring.read(4) { header, _ in header })
    #expect(last.refusedBefore == 1)
    #expect(last.unusableBefore == 1)
    _ = detector.observe(last)
    let gaps = detector.finish(triggered: 8, refusedByRing: 1, unusable: 1)
    #expect(gaps.map(\.frames) == [1, 1, 1])
    #expect(gaps.map(\.cause) == [.lostAtSource, .ringFull, .unusable])
  }

  @Test("The connection, the clock and the loop's life are reported while idle")
  func idle() throws {
    let server = try FakeCameraServer()
    let session = try Session(CameraSettings(model: "shm", url: server.socketPath))
    #expect(session.wait { if case .connected(let identity) = $0 { identity.model == "fake" } else { false } })
    #expect(session.wait(2) { if case .clockPair = $0 { true } else { false } })
    #expect(session.thread.beats > 2)
    session.thread.send(.stop)
    #expect(session.waitFor(.stopped))
    #expect(session.ring.published == 0)
  }

  @Test("Record while recording ends the series and begins the next; a used number is not used again")
  func nextSeries() throws {
    let server = try FakeCameraServer()
    let session = try Session(CameraSettings(model: "shm", url: server.socketPath))
    session.thread.send(.record(request(1), step: 1))
    #expect(session.waitFor(.seriesStarted(series: 1)))
    server.send()
    #expect(session.ring.waitForPublished(beyond: 0, atMost: Seconds(5)))
    session.thread.send(.record(request(1), step: 2))
    #expect(session.waitFor(.seriesStarted(series: 2)))
    server.send()
    #expect(session.ring.waitForPublished(beyond: 1, atMost: Seconds(5)))
    session.thread.send(.setStep(3))
    session.thread.send(.stop)
    #expect(session.waitFor(.stopped))
    #expect(
      session.story.dropFirst() == [
        .seriesStarted(series: 1),
        .seriesEnded(series: 1, triggered: 1, received: 1, refusedByRing: 0, unusable: [:]),
        .seriesStarted(series: 2),
        .seriesEnded(series: 2, triggered: 1, received: 1, refusedByRing: 0, unusable: [:]),
        .stopped,
      ])
    let steps = (0..<2 as Range<UInt64>).map { sequence in session.ring.read(sequence) { header, _ in header.step } }
    #expect(steps == [1, 2])
  }

  @Test("A camera that goes away while recording is tried until it answers, and goes on in a new series")
  func reconnects() throws {
    let server = try FakeCameraServer()
    let session = try Session(CameraSettings(model: "shm", url: server.socketPath))
    session.thread.send(.record(request(4), step: 6))
    #expect(session.waitFor(.seriesStarted(series: 4)))
    server.send()
    #expect(session.ring.waitForPublished(beyond: 0, atMost: Seconds(5)))
    server.restart()
    #expect(session.waitFor(.seriesStarted(series: 5)))
    server.send()
    #expect(session.ring.waitForPublished(beyond: 1, atMost: Seconds(5)))
    let story = session.story
    #expect(
      story.contains(.seriesEnded(series: 4, triggered: nil, received: 1, refusedByRing: 0, unusable: [:])))
    #expect(story.filter { if case .disconnected = $0 { true } else { false } }.count == 1)
    #expect(story.filter { if case .connected = $0 { true } else { false } }.count == 2)
    let second = session.ring.read(1) { header, _ in [header.series, UInt64(header.step)] }
    #expect(second == [5, 6])
  }

  @Test("A series the camera refuses is told and not tried again; the camera stays connected")
  func refused() throws {
    let server = try FakeCameraServer(.init(answers: ["START": "ERR too fast"]))
    let session = try Session(CameraSettings(model: "shm", url: server.socketPath))
    session.thread.send(.record(request(2), step: 0))
    let refusal = CameraError.refused(address: server.socketPath, request: "START", answer: "too fast")
    #expect(session.waitFor(.refused(series: 2, refusal)))
    session.thread.send(.stop)
    #expect(session.waitFor(.stopped))
    #expect(server.requests.filter { $0.hasPrefix("START") }.count == 1)
  }

  @Test("A camera without an end marker ends with what it said was triggered")
  func noEndMarker() throws {
    let server = try FakeCameraServer(.init(showsEndMarker: false, triggered: 3))
    let session = try Session(CameraSettings(model: "shm", url: server.socketPath))
    session.thread.send(.record(request(0), step: 0))
    #expect(session.waitFor(.seriesStarted(series: 0)))
    session.thread.send(.stop)
    #expect(session.waitFor(.stopped))
    #expect(
      session.story.contains(.seriesEnded(series: 0, triggered: 3, received: 0, refusedByRing: 0, unusable: [:])))
  }

  @Test("Everything a SIMPLON sender sends is recorded until stop, series after series")
  func simplon() throws {
    let sender = try FakeSimplonSender()
    let session = try Session(CameraSettings(model: "simplon", url: sender.url))
    session.thread.send(.record(request(1), step: 9))
    for series in [20, 21] as [UInt64] {
      sender.header(series, config: #"{"trigger_mode":"ints","nimages":3,"ntrigger":1,"description":"D"}"#)
      for frame in [0, 2] as [UInt64] { sender.image(series, frame) }
      sender.end(series)
    }
    #expect(
      session.waitFor(.seriesEnded(series: 21, triggered: 3, received: 2, refusedByRing: 0, unusable: [:])))
    session.thread.send(.stop)
    #expect(session.waitFor(.stopped))
    let story = session.story
    #expect(
      story.contains(.seriesEnded(series: 20, triggered: 3, received: 2, refusedByRing: 0, unusable: [:])))
    #expect(story.filter { if case .identified = $0 { true } else { false } }.count == 1)
    #expect(session.ring.published == 4)
    #expect(
      session.ring.read(3) { header, _ in [header.series, header.frameNumber, UInt64(header.step)] } == [21, 2, 9])
  }

  @Test("A camera nobody has started is reported once, and close ends the thread")
  func nobodyThere() throws {
    let session = try Session(CameraSettings(model: "shm", url: "/dev/shm/insitud-no-camera"))
    #expect(session.wait { if case .disconnected = $0 { true } else { false } })
    session.thread.send(.record(request(1), step: 0))
    session.thread.send(.close)
    session.thread.join()
    #expect(session.story.count == 1)
    #expect(!session.thread.send(.stop))
  }
}

extension FrameRing {
  /// Waits until the gating reader has released everything.
  fileprivate func waitUntilEmpty() -> Bool {
    let end = MonotonicTime.now + Seconds(5)
    while filled > 0 {
      if MonotonicTime.now > end { return false }
      sleepThread(for: Seconds(0.0005))
    }
    return true
  }
}
