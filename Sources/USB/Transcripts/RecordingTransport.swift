import Linux
package import Quantities

/// A transport that writes down what is asked of it and what comes of it.
///
/// A call and its result are two lines, so that what is heard meanwhile stands where it came.
package final class RecordingTransport: USBTransport {
  private let transport: any USBTransport
  private let writer: TranscriptWriter

  package var device: USBDeviceFacts { transport.device }
  package var interface: USBInterface { transport.interface }

  package init(_ transport: any USBTransport, _ writer: TranscriptWriter) {
    self.transport = transport
    self.writer = writer
  }

  deinit { close() }

  package func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8] {
    try record(.control(setup, sending: sending)) { () throws(USBError) in
      try transport.control(setup, sending: sending, within: limit)
    }
  }

  package func send(_ bytes: [UInt8], to endpoint: UInt8, endingWithZeroPacket: Bool, within limit: Seconds)
    throws(USBError)
  {
    _ = try record(.send(endpoint: endpoint, bytes, endingWithZeroPacket: endingWithZeroPacket)) {
      () throws(USBError) in
      try transport.send(bytes, to: endpoint, endingWithZeroPacket: endingWithZeroPacket, within: limit)
      return []
    }
  }

  package func receive(_ most: Int, from endpoint: UInt8, within limit: Seconds) throws(USBError) -> [UInt8] {
    try record(.receive(endpoint: endpoint, most: most)) { () throws(USBError) in
      try transport.receive(most, from: endpoint, within: limit)
    }
  }

  package func exchange(
    _ messages: [[UInt8]], to out: UInt8, receiving most: Int, from in: UInt8, within limit: Seconds
  ) throws(USBError) -> [UInt8] {
    try record(.exchange(out: out, in: `in`, most: most, messages)) { () throws(USBError) in
      try transport.exchange(messages, to: out, receiving: most, from: `in`, within: limit)
    }
  }

  package func listen(
    to endpoint: UInt8, transfers: Int, most: Int,
    _ heard: @escaping @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void
  ) throws(USBError) {
    _ = try record(.listen(endpoint: endpoint, transfers: transfers, most: most)) { () throws(USBError) in
      try transport.listen(to: endpoint, transfers: transfers, most: most) { [writer] result, time in
        writer.add(.heard(endpoint: endpoint, result))
        heard(result, time)
      }
      return []
    }
  }

  package func clearHalt(_ endpoint: UInt8) throws(USBError) {
    _ = try record(.clearHalt(endpoint: endpoint)) { () throws(USBError) in
      try transport.clearHalt(endpoint)
      return []
    }
  }

  package func reset() throws(USBError) {
    _ = try record(.reset) { () throws(USBError) in
      try transport.reset()
      return []
    }
  }

  package func close() {
    transport.close()
    writer.add(.close)
    writer.end()
  }

  private func record(_ call: TranscriptEntry, _ body: () throws(USBError) -> [UInt8]) throws(USBError) -> [UInt8] {
    writer.add(call)
    do throws(USBError) {
      let bytes = try body()
      writer.add(.result(.success(bytes)))
      return bytes
    } catch {
      writer.add(.result(.failure(error)))
      throw error
    }
  }
}
