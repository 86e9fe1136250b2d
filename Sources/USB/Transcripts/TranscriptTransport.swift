import Linux
package import Quantities

/// A recorded conversation in the place of a device. Every call must be the next that was recorded; its result comes
/// back as it was, at once. What was heard while a call was under way, and until the next, is heard before the call
/// returns, on the thread that called.
package final class TranscriptTransport: USBTransport {
  private typealias Heard = @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void

  private struct State {
    var next = 0
    var isClosed = false
    var listeners: [UInt8: Heard] = [:]
  }

  private let transcript: Transcript
  private let name: String
  private let start = MonotonicTime.now
  private let state = Monitor(State())

  package var device: USBDeviceFacts { transcript.head.device }
  package var interface: USBInterface { transcript.head.interface }

  /// - Parameter name: what errors call the device.
  package init(_ transcript: Transcript, name: String) {
    self.transcript = transcript
    self.name = name
  }

  /// Calls that were recorded and have not been made.
  package var remaining: Int {
    let next = state.read { $0.next }
    return transcript.lines[next...].count { line in
      switch line.entry {
      case .result, .heard, .close: false
      default: true
      }
    }
  }

  package func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8] {
    try replay(.control(setup, sending: sending))
  }

  package func send(_ bytes: [UInt8], to endpoint: UInt8, endingWithZeroPacket: Bool, within limit: Seconds)
    throws(USBError)
  {
    _ = try replay(.send(endpoint: endpoint, bytes, endingWithZeroPacket: endingWithZeroPacket))
  }

  package func receive(_ most: Int, from endpoint: UInt8, within limit: Seconds) throws(USBError) -> [UInt8] {
    try replay(.receive(endpoint: endpoint, most: most))
  }

  package func exchange(
    _ messages: [[UInt8]], to out: UInt8, receiving most: Int, from in: UInt8, within limit: Seconds
  ) throws(USBError) -> [UInt8] {
    try replay(.exchange(out: out, in: `in`, most: most, messages))
  }

  package func listen(
    to endpoint: UInt8, transfers: Int, most: Int,
    _ heard: @escaping @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void
  ) throws(USBError) {
    state.update { $0.listeners[endpoint] = heard }
    _ = try replay(.listen(endpoint: endpoint, transfers: transfers, most: most))
  }

  package func clearHalt(_ endpoint: UInt8) throws(USBError) { _ = try replay(.clearHalt(endpoint: endpoint)) }

  /// As with a device, who listened has to do it again.
  package func reset() throws(USBError) {
    state.update { $0.listeners = [:] }
    _ = try replay(.reset)
  }

  package func close() {
    state.update { state in
      state.isClosed = true
      state.listeners = [:]
    }
  }

  private func replay(_ call: TranscriptEntry) throws(USBError) -> [UInt8] {
    guard !state.read({ $0.isClosed }) else { throw .disconnected(device: name) }
    guard let line = next() else {
      throw unexpected("the transcript has ended", call, at: (transcript.lines.last?.number ?? 0) + 1)
    }
    guard line.entry == call else { throw unexpected("“\(short(line.entry))” was expected", call, at: line.number) }
    advance()
    hear()
    guard let answer = next(), case .result(let result) = answer.entry else {
      throw unexpected("the recording ended before this call did", call, at: line.number)
    }
    advance()
    hear()
    switch result {
    case .success(let bytes): return bytes
    case .failure(let error): throw error.of(name)
    }
  }

  private func next() -> Transcript.Line? {
    state.read { $0.next < transcript.lines.count ? transcript.lines[$0.next] : nil }
  }

  private func advance() { state.update { $0.next += 1 } }

  /// Delivers what was heard at this place.
  private func hear() {
    while let line = next(), case .heard(let endpoint, let result) = line.entry {
      advance()
      state.read { $0.listeners[endpoint] }?(result.mapError { $0.of(name) }, start + line.time)
    }
  }

  private func unexpected(_ expected: String, _ call: TranscriptEntry, at line: Int) -> USBError {
    .malformed(device: name, reason: "\(transcript.path), line \(line): \(expected), “\(short(call))” was asked")
  }

  private func short(_ entry: TranscriptEntry) -> String {
    let text = entry.text
    return text.utf8.count > 160 ? text.prefix(160) + "…" : text
  }
}

extension USBError {
  /// The same of a device with another name.
  fileprivate func of(_ device: String) -> USBError {
    switch self {
    case .notFound(_, let reason): .notFound(device: device, reason: reason)
    case .disconnected: .disconnected(device: device)
    case .timedOut(_, let operation): .timedOut(device: device, operation: operation)
    case .stalled(_, let endpoint): .stalled(device: device, endpoint: endpoint)
    case .malformed(_, let reason): .malformed(device: device, reason: reason)
    }
  }
}
