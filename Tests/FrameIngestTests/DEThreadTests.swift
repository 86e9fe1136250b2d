import DEMessaging
import FrameRing
import Linux
import NanobatteryTwin
import Quantities
import Testing

@testable import FrameIngest

@Suite("Direct Electron camera on the camera's thread")
struct DEThreadTests {
  private final class Session: @unchecked Sendable {
    let bench: DEBench
    let reports = Monitor<[CameraReport]>([])
    private(set) var thread: CameraThread!

    init(_ bench: DEBench) throws {
      self.bench = bench
      let reports = reports
      thread = CameraThread(try CameraModels.make(bench.settings), ring: bench.ring) { report in
        reports.update { $0.append(report) }
      }
    }

    deinit {
      thread.send(.close)
      thread.join()
    }

    func wait(_ times: Int = 1, for fits: @escaping (CameraReport) -> Bool) -> Bool {
      reports.wait(atMost: Seconds(15)) { $0.filter(fits).count >= times ? true : nil } ?? false
    }

    var ends: [(series: UInt64, triggered: UInt64?, received: UInt64)] {
      reports.read { all in
        all.compactMap {
          if case .seriesEnded(let series, let triggered, let received, _, _) = $0 {
            (series, triggered, received)
          } else {
            nil
          }
        }
      }
    }
  }

  private func isEnd(_ report: CameraReport) -> Bool { if case .seriesEnded = report { true } else { false } }
  private func isLoss(_ report: CameraReport) -> Bool { if case .disconnected = report { true } else { false } }

  @Test(
    "After a break, and after garbage, in the middle of a series it is connected again and a new series begins",
    arguments: [true, false])
  func reconnection(_ isBreak: Bool) throws {
    let bench = try DEBench {
      if isBreak { $0.faults.breakOff = 8 } else { $0.faults.garbage = 8 }
    }
    let session = try Session(bench)
    session.thread.send(.record(DEBench.request(5), step: 1))
    #expect(session.wait(for: isLoss))
    #expect(session.wait { $0 == .seriesStarted(series: 6) })
    #expect(bench.ring.waitForPublished(beyond: 60, atMost: Seconds(10)))
    session.thread.send(.stop)
    #expect(session.wait { $0 == .stopped })
    // The fault strikes in each connection; the last series is whole.
    let frames = bench.recorded
    let ends = session.ends
    #expect(ends.count >= 2)
    #expect(ends.map(\.series) == (0..<ends.count).map { 5 + UInt64($0) })
    #expect(ends.reduce(0) { $0 + $1.received } == UInt64(frames.count))
    for end in ends {
      let numbers = frames.filter { $0.series == end.series }.map(\.frameNumber)
      #expect(numbers == Array(0..<UInt64(numbers.count)), "series \(end.series)")
    }
    // What is in the ring is what was sent.
    var rest = bench.sent.read { $0 }[...]
    for frame in frames {
      let found = rest.firstIndex { $0.number == frame.frameNumber && $0.crc == frame.pixelCRC }
      #expect(found != nil, "frame \(frame.frameNumber) of series \(frame.series)")
      if let found { rest = rest[(found + 1)...] }
    }
  }

  @Test("An acquisition that ends by itself is begun again as a new series")
  func exposureTime() throws {
    let bench = try DEBench { $0.longestExposure = 0.1 }
    let session = try Session(bench)
    session.thread.send(.record(DEBench.request(1), step: 1))
    #expect(session.wait { $0 == .seriesStarted(series: 2) })
    session.thread.send(.stop)
    #expect(session.wait { $0 == .stopped })
    let told = session.reports.read { all in
      all.contains {
        if case .disconnected(let error) = $0 {
          error.description.contains("ended by itself after 40 frames")
        } else {
          false
        }
      }
    }
    #expect(told)
    #expect(bench.recorded.filter { $0.series == 1 }.map(\.frameNumber) == Array(0..<40))
  }

  @Test("Readings of the dose are reported")
  func readings() throws {
    let bench = try DEBench()
    let session = try Session(bench)
    session.thread.send(.record(DEBench.request(1), step: 1))
    #expect(bench.ring.waitForPublished(beyond: 20, atMost: Seconds(10)))
    session.thread.send(.stop)
    #expect(session.wait(for: isEnd))
    #expect(session.wait { if case .readings(let all) = $0 { all.count == 10 } else { false } })
  }

  @Test("Record while recording ends the series and begins the next")
  func nextSeries() throws {
    let bench = try DEBench()
    let session = try Session(bench)
    session.thread.send(.record(DEBench.request(1), step: 1))
    #expect(bench.ring.waitForPublished(beyond: 12, atMost: Seconds(10)))
    session.thread.send(.record(DEBench.request(1, rate: 200), step: 2))
    #expect(session.wait { $0 == .seriesStarted(series: 2) })
    let before = bench.ring.published
    #expect(bench.ring.waitForPublished(beyond: before + 8, atMost: Seconds(10)))
    session.thread.send(.stop)
    #expect(session.wait { $0 == .stopped })
    let frames = bench.recorded
    #expect(frames.map(\.pixelCRC) == bench.sent.read { $0.map(\.crc) })
    #expect(frames.filter { $0.series == 2 }.allSatisfy { $0.step == 2 && $0.exposureNanoseconds == 5_000_000 })
    #expect(session.ends.map(\.received) == [1, 2].map { series in UInt64(frames.count { $0.series == series }) })
  }
}
