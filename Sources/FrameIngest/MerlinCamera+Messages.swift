import FrameRing
import Linux
import Pixels
import Quantities

/// The data port: acquisition headers and frames.
extension MerlinCamera {
  /// A prefix that announces more is damage.
  private static let mostPayloadBytes = 512 << 20
  private static let unknownBytes = "bytes that are no Merlin message"

  /// Reads one message; pixels go from the receive buffer into the ring's slot, swapped on the way.
  /// - Parameter prompt: when its first byte came, if it was waited for.
  func message(
    _ input: StreamInput, _ ring: FrameRing, _ step: UInt32, _ prompt: MonotonicTime?, _ limit: MonotonicTime
  ) throws(LinuxError) -> CameraEvent {
    try input.waitFor(MerlinPrefix.bytes, until: limit)
    guard let payload = unsafe MerlinPrefix.payloadBytes(input.bytes), (4...Self.mostPayloadBytes).contains(payload)
    else {
      input.drop(1)
      isLost = true
      return refuseFrame(Self.unknownBytes, ring)
    }
    input.drop(MerlinPrefix.bytes)
    try input.waitFor(4, until: limit)
    if unsafe input.bytes.starts(with: "MQ1,".utf8) { return try frame(input, payload, ring, step, prompt, limit) }
    if unsafe input.bytes.starts(with: "HDR,".utf8) { return try acquisition(input, payload, ring, limit) }
    try input.skip(payload, until: limit)
    return .ignored(cause: "a message of an unknown kind")
  }

  /// Looks for a prefix with a known message behind it; drops what is before it.
  func seekMessage(_ input: StreamInput) -> Bool {
    let length = MerlinPrefix.bytes + 4
    var at = 0
    let found = { () -> Bool in
      let bytes = unsafe input.bytes
      while at + length <= bytes.count {
        if unsafe bytes[at] == UInt8(ascii: "M") {
          let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[at...])
          let kind = unsafe rest[MerlinPrefix.bytes..<length]
          if unsafe MerlinPrefix.payloadBytes(rest) != nil,
            unsafe kind.elementsEqual("MQ1,".utf8) || kind.elementsEqual("HDR,".utf8)
          {
            return true
          }
        }
        at += 1
      }
      return false
    }()
    input.drop(at)
    return found
  }

  private func acquisition(
    _ input: StreamInput, _ payload: Int, _ ring: FrameRing, _ limit: MonotonicTime
  ) throws(LinuxError) -> CameraEvent {
    guard payload <= MerlinAcquisitionHeader.mostBytes else {
      try input.skip(payload, until: limit)
      return refuseFrame("an acquisition header of \(payload) bytes", ring)
    }
    try input.waitFor(payload, until: limit)
    let header = unsafe MerlinAcquisitionHeader(UnsafeRawBufferPointer(rebasing: input.bytes[..<payload]))
    input.drop(payload)
    guard series?.header == nil else {
      series?.isSuperseded = true
      return .nothing
    }
    series?.header = header
    identity.serial = header.chipIDs ?? identity.serial
    if let system = header.readoutSystem, let version = header.softwareVersion {
      identity.model = "\(system), software \(version)"
    }
    return .nothing
  }

  private func frame(
    _ input: StreamInput, _ payload: Int, _ ring: FrameRing, _ step: UInt32, _ prompt: MonotonicTime?,
    _ limit: MonotonicTime
  ) throws(LinuxError) -> CameraEvent {
    try input.waitFor(min(payload, MerlinFrameHeader.leastBytes), until: limit)
    guard let length = unsafe MerlinFrameHeader.length(input.bytes), length <= payload else {
      try input.skip(payload, until: limit)
      return refuseFrame("a frame without a usable header", ring)
    }
    try input.waitFor(length, until: limit)
    let header: MerlinFrameHeader
    do throws(DecodeError) {
      header = try unsafe MerlinFrameHeader(UnsafeRawBufferPointer(rebasing: input.bytes[..<length]))
    } catch {
      try input.skip(payload, until: limit)
      return refuseFrame(error.description, ring)
    }
    input.drop(length)
    let count = payload - length
    func drop(_ event: CameraEvent) throws(LinuxError) -> CameraEvent {
      try input.skip(count, until: limit)
      return event
    }
    guard series?.header != nil else { return try drop(.ignored(cause: "a frame of an acquisition before")) }
    guard let type = header.pixelType else { return try drop(refuseFrame(Self.unusable(header.typeName), ring)) }
    let misfit = self.misfit(
      count, width: header.width, height: header.height, type, named: header.typeName,
      most: settings.maximumFrameBytes, ring)
    if let misfit { return try drop(refuseFrame(misfit, ring)) }
    guard let number = series?.frameNumber(header) else {
      return try drop(refuseFrame("a frame without a usable sequence number", ring))
    }
    series?.noteFrame(number)
    guard let room = unsafe ring.reserve() else { return endIfComplete(after: try drop(.ringFull)) }

    let meter = ring.meter
    unsafe meter.begin(type, width: header.width, height: header.height, isBigEndian: true, in: room)
    while meter.missingBytes > 0 {
      try input.waitFor(1, until: limit)
      input.drop(unsafe meter.copy(from: input.bytes))
    }
    var slot = FrameHeader(
      frameNumber: number, deviceNanoseconds: header.startNanoseconds ?? 0,
      exposureNanoseconds: header.exposureNanoseconds, arrival: .now, series: series?.number ?? 0,
      flags: header.startNanoseconds == nil ? .noDeviceTime : [], pixelType: type, width: header.width,
      height: header.height, step: step)
    slot.take(meter.finish())
    slot.dropImplausibleStamps()
    ring.publish(slot)
    noteShape(header)
    if let prompt { noteTime(header, arrival: prompt) }
    return endIfComplete(after: .frame)
  }

  /// The last frame that was asked for ends the series by itself.
  private func endIfComplete(after event: CameraEvent) -> CameraEvent {
    if series?.isComplete == true { pending.append(endSeries()) }
    return event
  }

  /// Before the acquisition header has come, what is wrong is a remnant and counts against nobody.
  private func refuseFrame(_ cause: String, _ ring: FrameRing) -> CameraEvent {
    series?.header == nil ? .ignored(cause: cause) : refuse(cause, ring)
  }

  /// Why pixels of this kind are not recorded, and what helps.
  private static func unusable(_ type: String) -> String {
    switch type {
    case "R64":
      "raw pixels (R64) in the order of the chips; set FILEFORMAT to 0 (binary, not raw) in the Merlin software"
    case "U64": "pixels of 64 bit; use one counter of at most 24 bit"
    default: "pixels of an unknown type “\(type.prefix(8).filter { $0 >= " " })”"
    }
  }
}
