import Linux
import Quantities
import ZeroMQ

/// Messages of a ZeroMQ sender and the series that they belong to: what all cameras behind such a stream share.
///
/// It connects at the first `open`, not before (a PUSH sender gives each connected receiver its share), and stays connected
/// until `close`. Nothing is allocated for a message beyond what libzmq does.
final class StreamIntake {
  /// Messages libzmq may hold for us (camera-streams.md §9).
  private static let mostWaitingMessages: Int32 = 1024
  private static let betweenClockPairs = Seconds(0.05)

  var series = StreamSeries()
  /// When the message that is being taken was there.
  private(set) var arrival = MonotonicTime(nanoseconds: 0)
  /// It was waited for: one that was there already may have waited long, and its arrival says little about the clock.
  private(set) var isPrompt = false

  private let address: String
  private let kind: CameraSocket
  private let mostPartBytes: Int64
  private let maximumLatency: Seconds
  private let context = ZeroMQContext()
  private var socket: ZeroMQSocket?
  private let part = ZeroMQPart()
  private var lastClockPair = MonotonicTime(nanoseconds: 0)

  /// - Parameter mostPartBytes: a sender of anything larger is cut off by libzmq.
  init(_ settings: CameraSettings, _ kind: CameraSocket, mostPartBytes: Int64) {
    address = settings.url
    maximumLatency = settings.maximumLatency
    self.kind = kind
    self.mostPartBytes = mostPartBytes
  }

  func open() throws(CameraError) {
    guard socket == nil else { return }
    do throws(ZeroMQError) {
      let socket = try ZeroMQSocket(context, kind == .sub ? .subscribe : .pull)
      socket.setHighWaterMark(send: 1, receive: Self.mostWaitingMessages)
      socket.setMaximumMessageSize(mostPartBytes)
      if kind == .sub { socket.subscribe("") }
      try socket.connect(address)
      self.socket = socket
    } catch {
      throw .unreachable(address: address, reason: "\(error)")
    }
  }

  func close() {
    socket = nil
    series.forget()
  }

  enum Look {
    /// `body` was given all its parts.
    case message
    /// What was asked to stop is over.
    case over(CameraEvent)
    case nothing
  }

  /// Takes one message, and waits at most `span` for it; without a connection only time passes.
  /// - Parameter body: its parts in place, valid only inside the call: (index, more follow, bytes).
  func look(
    within span: Seconds, _ body: (Int, Bool, UnsafeRawBufferPointer) -> Void
  ) throws(CameraError) -> Look {
    guard let socket else {
      sleepThread(for: span)
      return ending(isQuiet: true)
    }
    if case .over(let event) = ending(isQuiet: false) { return .over(event) }
    do throws(ZeroMQError) {
      arrival = .now
      isPrompt = try !socket.receive(into: part)
      if isPrompt {
        guard socket.waitReadable(milliseconds: Int(span.value * 1000)) else { return ending(isQuiet: true) }
        arrival = .now
        guard try socket.receive(into: part) else { return .nothing }
      }
      unsafe try socket.receiveRest(of: part, body)
    } catch {
      throw .disconnected(address: address, reason: "\(error)")
    }
    series.noteMessage(at: arrival)
    return .message
  }

  private func ending(isQuiet: Bool) -> Look {
    series.drained(at: .now, isQuiet: isQuiet).map { .over($0) } ?? .nothing
  }

  /// What the frame that came just now says of the camera's clock, not too often: its exposure had ended before it arrived,
  /// and no longer before than the operator assumes.
  func clockPair(end: Int64) -> CameraEvent? {
    guard isPrompt, arrival - lastClockPair >= Self.betweenClockPairs else { return nil }
    lastClockPair = arrival
    return .clockPair(ClockPair(deviceNanoseconds: end, earliest: arrival - maximumLatency, latest: arrival))
  }
}
