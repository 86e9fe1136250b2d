internal import DEMessaging
internal import FrameRing
internal import Glibc
internal import Linux
internal import Quantities

/// Movie buffers and single pictures.
extension DESession {
  private var frameBytes: Int { camera.settings.width * camera.settings.height * properties.moviePixels.bytes }

  var movieBufferInfo: [DEValue] {
    let numbers = [
      Self.headerBytes, settings.framesPerBuffer * frameBytes, 0, Self.headerBytes, camera.settings.width,
      camera.settings.height, settings.framesPerBuffer, properties.moviePixels.rawValue,
    ]
    return numbers.map { .integer(Int32(clamping: $0)) }
  }

  func sendMovieBuffer(_ command: DECommand) throws(End) {
    guard acquisition.wantsMovie else { return try refuse(command, "no movie buffer was asked for") }
    let timeout = Seconds(Double(command.values.first?.integer ?? 0) * 1e-3)
    let count: Int
    switch acquisition.wait(for: settings.framesPerBuffer, atMost: timeout) {
    case .nothing: return try acknowledge(command, [.integer(Int32(DEMovieStatus.timeout.rawValue))] + Self.noFrames)
    case .finished: return try acknowledge(command, [.integer(Int32(DEMovieStatus.finished.rawValue))] + Self.noFrames)
    case .frames(let frames): count = frames
    }
    let faults = settings.faults
    let buffer = buffers
    buffers += 1
    defer { acquisition.release(count) }
    if faults.fail?.strikes(buffer) == true {
      return try acknowledge(command, [.integer(Int32(DEMovieStatus.failed.rawValue))] + Self.noFrames)
    }
    if faults.garbage == buffer { return try send([0xFF, 0xFF, 0xFF, 0xFF] + Array("no packet".utf8)) }

    var order = Array(0..<count)
    if faults.reorder?.strikes(buffer) == true { order.reverse() }
    let isShort = faults.wrongSize?.strikes(buffer) == true
    let total = Self.headerBytes + count * frameBytes - (isShort ? 1 : 0)
    try acknowledge(
      command, [.integer(Int32(DEMovieStatus.ok.rawValue)), .integer(Int32(clamping: total)), .integer(Int32(count))])
    try send(header(order, isDamaged: faults.damageIndex?.strikes(buffer) == true))
    for (position, k) in order.enumerated() {
      let isMiddle = position == count / 2
      if isMiddle, faults.breakOff == buffer { throw End() }
      if isMiddle, let pause = faults.pause, pause.buffer == buffer { sleepThread(for: pause.span) }
      try sendFrame(k, droppingLast: isShort && position == count - 1 ? 1 : 0)
    }
  }

  private static let noFrames: [DEValue] = [.integer(0), .integer(0)]

  /// The indices of the frames, 64 bit, from the start.
  private func header(_ order: [Int], isDamaged: Bool) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.headerBytes)
    for k in order {
      let number = isDamaged ? UInt64.max : acquisition.number(k) ?? .max
      for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: number >> UInt64(shift))) }
    }
    return bytes + [UInt8](repeating: 0, count: Self.headerBytes - bytes.count)
  }

  private func sendFrame(_ k: Int, droppingLast dropped: Int) throws(End) {
    var problem: End?
    unsafe acquisition.look(k) { header, pixels in
      unsafe settings.watch?(header.frameNumber, Array(pixels))
      do throws(End) {
        switch properties.moviePixels {
        case .u16, .i16: unsafe try send(UnsafeRawBufferPointer(rebasing: pixels.dropLast(dropped)))
        case .u8, .f32:
          let encoded = unsafe Self.encode(Array(pixels.bindMemory(to: UInt16.self)), properties.moviePixels)
          try send(Array(encoded.dropLast(dropped)))
        }
      } catch { problem = error }
    }
    if let problem { throw problem }
  }

  /// Little-endian; what does not fit 8 bit is the largest that does.
  static func encode(_ picture: [UInt16], _ pixels: DEPixels) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(picture.count * pixels.bytes)
    for value in picture {
      switch pixels {
      case .u8: bytes.append(UInt8(clamping: value))
      case .u16, .i16:
        bytes.append(UInt8(truncatingIfNeeded: value))
        bytes.append(UInt8(value >> 8))
      case .f32:
        let bits = Float(value).bitPattern
        for shift in stride(from: UInt32(0), to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: bits >> shift)) }
      }
    }
    return bytes
  }

  // MARK: Single pictures

  func sendResult(_ command: DECommand) throws(End) {
    let values = command.values
    guard values.count >= 8, let type = values[0].integer, let format = values[1].integer else {
      return try refuse(command, "GET_RESULT needs a frame type and a pixel format")
    }
    let pixels = DEPixels(rawValue: format) ?? .u16
    let timeoutAt: Int? = version >= 10 ? 13 : version > 3 ? 11 : nil
    let timeout = timeoutAt.flatMap { $0 < values.count ? values[$0].integer : nil } ?? 1000
    let end = MonotonicTime.now + Seconds(Double(max(timeout, 0)) * 1e-3)
    while acquisition.picture.isEmpty, acquisition.isRunning, !acquisition.wantsMovie, MonotonicTime.now < end {
      sleepThread(for: Seconds(0.002))
      acquisition.settle()
    }
    guard !acquisition.picture.isEmpty else { return try refuse(command, "there is no picture yet") }
    let (picture, width, height) = window(values[5].integer ?? 0, values[6].integer ?? 0)
    let bytes = Self.encode(picture, pixels)
    let binsAt = version >= 10 ? 16 : version > 3 ? 14 : 13
    let bins = binsAt < values.count ? values[binsAt].integer ?? 0 : 0
    try acknowledge(
      command, description(picture, width, height, pixels, isSum: type == 10, bins: min(max(bins, 0), 4096)))
    var header = DEPacket(.dataHeader)
    header.dataBytes = UInt64(bytes.count)
    try send(header.framed)
    try send(bytes)
  }

  /// The newest picture in a window of so many pixels, 0 for all.
  private func window(_ width: Int, _ height: Int) -> ([UInt16], Int, Int) {
    let (fullWidth, fullHeight) = (camera.settings.width, camera.settings.height)
    let wide = 1...8192 ~= width ? width : fullWidth
    let high = 1...8192 ~= height ? height : fullHeight
    guard (wide, high) != (fullWidth, fullHeight) else { return (acquisition.picture, wide, high) }
    var picture: [UInt16] = []
    for y in 0..<high {
      for x in 0..<wide {
        picture.append(acquisition.picture[y * fullHeight / high * fullWidth + x * fullWidth / wide])
      }
    }
    return (picture, wide, high)
  }

  private func description(
    _ picture: [UInt16], _ width: Int, _ height: Int, _ pixels: DEPixels, isSum: Bool, bins: Int
  ) -> [DEValue] {
    let mean = Double(picture.reduce(0) { $0 + Int($1) }) / Double(picture.count)
    let rate = acquisition.rate
    func float(_ value: Double) -> DEValue { .float(Float(value)) }
    let perPixel = isSum ? mean * Double(acquisition.frames) : mean
    // One count is one electron, and a pixel is 1 Å wide.
    let doses = [perPixel, mean * rate * Double(width * height), mean * rate, perPixel, mean].map(float)
    let (least, most) = (Double(picture.min() ?? 0), Double(picture.max() ?? 0))
    var values: [DEValue] = [
      .integer(Int32(pixels.rawValue)), .integer(Int32(width)), .integer(Int32(height)), .text("twin"), .integer(0),
      .boolean(!acquisition.isRunning), .integer(Int32(clamping: acquisition.frames)), .integer(1), float(least),
      float(most), float(mean), float(mean.squareRoot()),
    ]
    values += doses
    // What stands here differs from version to version (deapi 5.3.1).
    if version >= 12 { values += doses + [float(0), float(0)] }
    if version >= 11 { values.append(float(0)) }
    if version < 10 { values += [float(0), float(0)] }
    values.append(.text("\(Double(MonotonicTime.now.nanoseconds) * 1e-9)"))
    if version >= 10 { values += [float(least), float(most), float(1)] }
    if version >= 16 { values.append(.integer(0)) }
    values += [float(least), float(most)]
    if version >= 11 { values.append(float(most)) }
    var histogram = [Int32](repeating: 0, count: bins)
    if bins > 0 {
      for value in picture { histogram[min(Int(value) * bins / (Int(most) + 1), bins - 1)] += 1 }
    }
    return values + histogram.map { .integer($0) }
  }
}
