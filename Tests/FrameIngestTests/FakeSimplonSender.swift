import FrameRing
import ZeroMQ

/// The detector's side of the SIMPLON stream v1 on a loopback port.
final class FakeSimplonSender: @unchecked Sendable {
  private let context = ZeroMQContext()
  private let socket: ZeroMQSocket
  let url: String

  init() throws {
    socket = try ZeroMQSocket(context, .push)
    socket.setHighWaterMark(send: 2000, receive: 1)
    try socket.bind("tcp://127.0.0.1:*")
    url = socket.lastEndpoint
  }

  /// Waits for a receiver when there is none yet.
  func send(_ parts: [[UInt8]]) { try? socket.send(parts) }
  func send(_ text: String) { send([Array(text.utf8)]) }

  func header(_ series: UInt64, config: String? = nil, inOneMessage: Bool = true) {
    let header = Array(
      #"{"header_detail":"\#(config == nil ? "none" : "basic")","htype":"dheader-1.0","series":\#(series)}"#.utf8)
    guard let config else { return send([header]) }
    if inOneMessage {
      send([header, Array(config.utf8)])
    } else {
      send([header])
      send(config)
    }
  }

  func end(_ series: UInt64) { send(#"{"htype":"dseries_end-1.0","series":\#(series)}"#) }

  static func image(
    _ series: UInt64, _ frame: UInt64, _ blob: [UInt8], shape: String = "[4,2]", type: String = "uint16",
    encoding: String = "<",
    times: String? = #"{"htype":"dconfig-1.0","real_time":900,"start_time":5000,"stop_time":6000}"#
  ) -> [[UInt8]] {
    var parts = [
      Array(#"{"frame":\#(frame),"hash":"x","htype":"dimage-1.0","series":\#(series)}"#.utf8),
      Array(
        #"{"encoding":"\#(encoding)","htype":"dimage_d-1.0","shape":\#(shape),"size":\#(blob.count),"type":"\#(type)"}"#
          .utf8),
      blob,
    ]
    if let times { parts.append(Array(times.utf8)) }
    return parts
  }

  /// A 4 × 2 frame of 16-bit pixels that count up from the frame number.
  static func pixels(_ frame: UInt64) -> [UInt16] { (0..<8).map { UInt16(truncatingIfNeeded: frame) &+ $0 } }

  func image(
    _ series: UInt64, _ frame: UInt64,
    times: String = #"{"htype":"dconfig-1.0","real_time":900,"start_time":5000,"stop_time":6000}"#
  ) {
    send(Self.image(series, frame, littleEndian(Self.pixels(frame)), times: times))
  }
}
