import DEMessaging
package import FrameRing
import Linux
import Pixels
package import Quantities

/// Movie buffers, one after the other, in as many looks as they take.
extension DECamera {
  static let betweenDoses = Seconds(10)
  /// An answer that is not there so soon was waited for.
  private static let atOnce = Seconds(0.001)
  private static let mostFailures = 8

  private enum Progress {
    case event(CameraEvent)
    /// There may be more at once.
    case more
    /// Nothing came in the time given.
    case waiting
  }

  package func next(into ring: FrameRing, step: UInt32, atMost span: Seconds) throws(CameraError) -> CameraEvent {
    if !events.isEmpty { return events.removeFirst() }
    let connection = try connected()
    let end = MonotonicTime.now + span
    while let series {
      if let stopped = series.stopped, MonotonicTime.now - stopped > Self.mostDrain {
        unsafe room = nil
        return self.end(series, isWhole: false)
      }
      switch try proceed(connection, ring, step, within: max(end - .now, Seconds(0))) {
      case .event(let event): return event
      case .more: continue
      case .waiting: return .nothing
      }
    }
    return try idle(connection, span)
  }

  /// Outside a series nothing comes that was not asked for.
  private func idle(_ connection: DEConnection, _ span: Seconds) throws(CameraError) -> CameraEvent {
    if intake == .idle, connection.isReadable(within: Seconds(0)) {
      throw .disconnected(address: settings.url, reason: "the server closed the connection")
    }
    sleepThread(for: span)
    return .nothing
  }

  private func proceed(
    _ connection: DEConnection, _ ring: FrameRing, _ step: UInt32, within span: Seconds
  ) throws(CameraError) -> Progress {
    switch intake {
    case .idle:
      return try askForBuffer(connection)
    case .asked(let sent, let isPrompt):
      guard connection.isReadable(within: span) else {
        guard MonotonicTime.now - sent < Self.bufferTimeout + Self.mostSilence else { throw silent() }
        return .waiting
      }
      return try takeAnswer(connection, ring, isPrompt: isPrompt)
    case .header(let block, let done, let lastByte):
      return try takeHeader(connection, ring, block, done, lastByte, span)
    case .frame(let block, let done, let lastByte):
      return try takePixels(connection, ring, step, block, done, lastByte, span)
    case .surplus(let left, let lastByte):
      let count = try throwAway(connection, left, span)
      guard count > 0 else { return try wait(since: lastByte) }
      intake = count == left ? .idle : .surplus(left: left - count, lastByte: .now)
      return .more
    }
  }

  private func silent() -> CameraError {
    .disconnected(address: settings.url, reason: "it stopped in the middle of an answer")
  }

  private func wait(since lastByte: MonotonicTime) throws(CameraError) -> Progress {
    guard MonotonicTime.now - lastByte < Self.mostSilence else { throw silent() }
    return .waiting
  }

  private func throwAway(_ connection: DEConnection, _ count: Int, _ span: Seconds) throws(CameraError) -> Int {
    let target = unsafe UnsafeMutableRawBufferPointer(rebasing: rubbish.bytes[..<min(count, rubbish.bytes.count)])
    return unsafe try connection.readSome(target, within: span)
  }

  // MARK: Requests

  private func askForBuffer(_ connection: DEConnection) throws(CameraError) -> Progress {
    if series?.wantsStop == true {
      series?.wantsStop = false
      _ = try connection.ask(.stopAcquisition)
    }
    if series?.stopped == nil, MonotonicTime.now >= nextDose {
      nextDose = .now + Self.betweenDoses
      if let event = try dose(isCounting ? .counted : .integrated, connection) { return .event(event) }
    }
    try connection.send(framed: bufferRequest, .getMovieBuffer)
    let isPrompt = !connection.isReadable(within: Self.atOnce)
    intake = .asked(at: .now, isPrompt: isPrompt)
    return .more
  }

  /// What the server makes of the dose; nil when it will not say.
  private func dose(_ type: DEResult.FrameType, _ connection: DEConnection) throws(CameraError) -> CameraEvent? {
    guard tellsDose else { return nil }
    let request = DECommandNumber.getResult
    let parameters = DEResult.parameters(type, version: connection.version, timeoutMilliseconds: 1000)
    let values: [DEValue]
    do throws(CameraError) { values = try connection.ask(request, values: parameters) } catch {
      guard error.isRefusal else { throw error }
      // It is not asked again in this series.
      tellsDose = false
      return .ignored(cause: "the dose: \(error)")
    }
    let result: DEResult
    do throws(DecodeError) { result = try DEResult(values, version: connection.version) } catch {
      throw .misunderstood(address: settings.url, request: request.name, answer: error.description)
    }
    var left = try connection.receiveDataBytes(request.name, most: DEResult.mostPixelBytes)
    while left > 0 {
      let count = try throwAway(connection, left, DEConnection.patience)
      guard count > 0 else { throw silent() }
      left -= count
    }
    return result.readings.isEmpty ? nil : .readings(result.readings)
  }

  private func takeAnswer(
    _ connection: DEConnection, _ ring: FrameRing, isPrompt: Bool
  ) throws(CameraError) -> Progress {
    let arrival = MonotonicTime.now
    let numbers = try connection.receiveNumbers(to: .getMovieBuffer)
    intake = .idle
    guard numbers.count > 0, let status = DEMovieStatus(rawValue: numbers[0]) else {
      throw .misunderstood(
        address: settings.url, request: DECommandNumber.getMovieBuffer.name, answer: "an unknown status")
    }
    switch status {
    case .timeout: return .waiting
    case .failed:
      series?.failures += 1
      guard (series?.failures ?? 0) < Self.mostFailures else {
        throw .disconnected(address: settings.url, reason: "\(Self.mostFailures) movie buffers in a row failed")
      }
      return .event(.ignored(cause: "the server says that a movie buffer failed"))
    case .finished: return try finish(connection)
    case .ok:
      series?.failures = 0
      guard numbers.count >= 3, let layout else {
        throw .misunderstood(
          address: settings.url, request: DECommandNumber.getMovieBuffer.name, answer: "a buffer without its size")
      }
      return try begin(layout, totalBytes: numbers[1], frames: numbers[2], arrival, isPrompt, ring)
    }
  }

  private func finish(_ connection: DEConnection) throws(CameraError) -> Progress {
    guard let series else { return .waiting }
    let told = try dose(.sumTotal, connection)
    let over = end(series, isWhole: true)
    guard series.stopped != nil else {
      // It goes on as after a loss: connected again, and a new series begun.
      throw .disconnected(
        address: settings.url,
        reason: "its acquisition ended by itself after \(series.frames) frames (“Exposure Time (seconds)”)")
    }
    guard let told else { return .event(over) }
    events.append(over)
    return .event(told)
  }

  // MARK: One movie buffer

  private func begin(
    _ layout: DEMovieLayout, totalBytes: Int, frames: Int, _ arrival: MonotonicTime, _ isPrompt: Bool, _ ring: FrameRing
  ) throws(CameraError) -> Progress {
    let surplus: Int
    do throws(DecodeError) { surplus = try layout.surplus(totalBytes: totalBytes, frames: frames) } catch {
      // Its bytes follow all the same. A size that cannot be believed leaves nothing to go on from.
      guard 0...(layout.headerBytes + layout.pixelBytes) ~= totalBytes, 0...layout.framesInBuffer ~= frames else {
        throw .misunderstood(
          address: settings.url, request: DECommandNumber.getMovieBuffer.name, answer: error.description)
      }
      intake = totalBytes > 0 ? .surplus(left: totalBytes, lastByte: .now) : .idle
      series?.noteWithoutNumber(max(frames, 1))
      for _ in 0..<max(frames, 1) { events.append(refuse(error.description, ring)) }
      return .event(events.removeFirst())
    }
    let block = Block(frames: frames, surplus: surplus, arrival: arrival, isPrompt: isPrompt)
    if layout.headerBytes > 0 {
      intake = .header(block, done: 0, lastByte: .now)
    } else {
      beginFrame(block, ring)
    }
    return .more
  }

  private func takeHeader(
    _ connection: DEConnection, _ ring: FrameRing, _ block: Block, _ done: Int, _ lastByte: MonotonicTime,
    _ span: Seconds
  ) throws(CameraError) -> Progress {
    guard let layout else { return .waiting }
    let target = unsafe UnsafeMutableRawBufferPointer(rebasing: header.bytes[done..<layout.headerBytes])
    let count = unsafe try connection.readSome(target, within: span)
    guard count > 0 else { return try wait(since: lastByte) }
    if done + count < layout.headerBytes {
      intake = .header(block, done: done + count, lastByte: .now)
    } else {
      beginFrame(block, ring)
    }
    return .more
  }

  /// Finds a place for the next frame of the block, or ends the block.
  private func beginFrame(_ block: Block, _ ring: FrameRing) {
    unsafe room = nil
    guard let layout, block.current < block.frames else {
      intake = block.surplus > 0 ? .surplus(left: block.surplus, lastByte: .now) : .idle
      return
    }
    var block = block
    block.problem = nil
    if let number = unsafe layout.frameNumber(block.current, UnsafeRawBufferPointer(header.bytes)) {
      block.number = number
      if let slot = unsafe ring.reserve() {
        unsafe room = UnsafeMutableRawBufferPointer(
          rebasing: slot[..<(layout.width * layout.height * PixelType.u16.bytesPerPixel)])
        if let room = unsafe room {
          unsafe ring.meter.begin(.u16, width: layout.width, height: layout.height, in: room)
        }
      } else {
        block.problem = .ringFull
      }
    } else {
      block.problem = .unusable("a frame without a usable index")
    }
    intake = .frame(block, done: 0, lastByte: .now)
  }

  private func takePixels(
    _ connection: DEConnection, _ ring: FrameRing, _ step: UInt32, _ block: Block, _ done: Int,
    _ lastByte: MonotonicTime, _ span: Seconds
  ) throws(CameraError) -> Progress {
    guard let layout else { return .waiting }
    let count: Int
    if let room = unsafe room {
      // 8-bit pixels come into the upper half of their place and are widened from there.
      let start = room.count - layout.frameBytes + done
      count = unsafe try connection.readSome(UnsafeMutableRawBufferPointer(rebasing: room[start...]), within: span)
      if layout.pixels == .u16 { ring.meter.take(count) }
    } else {
      count = try throwAway(connection, layout.frameBytes - done, span)
    }
    guard count > 0 else { return try wait(since: lastByte) }
    guard done + count == layout.frameBytes else {
      intake = .frame(block, done: done + count, lastByte: .now)
      return .more
    }
    let event: CameraEvent
    switch block.problem {
    case nil:
      series?.note(frame: block.number)
      event = publish(block, layout, ring, step)
    case .ringFull:
      series?.note(frame: block.number)
      event = .ringFull
    case .unusable(let cause):
      series?.noteWithoutNumber(1)
      event = refuse(cause, ring)
    }
    var following = block
    following.current += 1
    beginFrame(following, ring)
    return .event(event)
  }

  private func publish(_ block: Block, _ layout: DEMovieLayout, _ ring: FrameRing, _ step: UInt32) -> CameraEvent {
    guard let room = unsafe room, let series else { return .nothing }
    if layout.pixels == .u8 {
      unsafe Self.widen(room)
      ring.meter.take(room.count)
    }
    let start = (Double(block.number) * series.period).rounded()
    var frame = FrameHeader(
      frameNumber: block.number, deviceNanoseconds: Int64(clamping: Int(exactly: start) ?? .max),
      exposureNanoseconds: Int64(series.period.rounded()), arrival: block.arrival, series: series.number,
      pixelType: .u16, width: layout.width, height: layout.height, step: step)
    frame.take(ring.meter.finish())
    frame.dropImplausibleStamps()
    ring.publish(frame)
    self.series?.frames += 1
    if block.isPrompt, block.current == block.frames - 1, !frame.flags.contains(.noDeviceTime) {
      // The last frame of a buffer was over when the buffer came; how long before is the operator's assumption.
      events.append(
        .clockPair(
          ClockPair(
            deviceNanoseconds: frame.deviceNanoseconds + frame.exposureNanoseconds,
            earliest: block.arrival - settings.maximumLatency, latest: block.arrival)))
    }
    return .frame
  }

  /// Bytes of the upper half become 16-bit pixels of the whole. Forwards: a pixel is written at or before the byte that
  /// it comes from, and never over one that is still to be read.
  private static func widen(_ room: UnsafeMutableRawBufferPointer) {
    let count = room.count / 2
    let bytes = unsafe room.baseAddress! + count
    for index in 0..<count {
      let value = unsafe UInt16(bytes.load(fromByteOffset: index, as: UInt8.self)).littleEndian
      unsafe room.storeBytes(of: value, toByteOffset: 2 * index, as: UInt16.self)
    }
  }
}
