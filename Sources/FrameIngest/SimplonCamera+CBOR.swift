import FrameRing

/// Stream version 2: one CBOR map per message (camera-streams.md §1).
extension SimplonCamera {
  func cborPart(_ index: Int, _ more: Bool, _ bytes: UnsafeRawBufferPointer, _ ring: FrameRing) {
    message.parts = index + 1
    guard index == 0 else { return }
    let isJSON = unsafe bytes.first == UInt8(ascii: "{")
    guard !more, !isJSON else {
      return refuseMessage(
        isJSON
          ? "a message of stream version 1; write `model: simplon`, or set the detector's stream format to cbor"
          : "a message of several parts, which stream version 2 has not", ring)
    }
    do throws(DecodeError) {
      try unsafe read(bytes, ring)
    } catch {
      refuseMessage(error.description, ring)
    }
  }

  private func read(_ bytes: UnsafeRawBufferPointer, _ ring: FrameRing) throws(DecodeError) {
    var reader = CBORReader(bytes)
    var entries = try reader.map()
    guard try reader.more(&entries), reader.text(try reader.text(), is: "type") else {
      throw DecodeError("a CBOR map that does not begin with its type")
    }
    let type = try reader.text()
    if reader.text(type, is: "image") {
      let image = try SimplonImage(&reader, &entries, channel: channels.wanted)
      try checkEnd(reader)
      beginImage(image.series, image.number, ring)
      if message.kind == .image, message.problem == nil { unsafe take(image, of: bytes, reader, ring) }
    } else if reader.text(type, is: "start") {
      let start = try SimplonStart(&reader, &entries)
      try checkEnd(reader)
      begin(start, ring)
    } else if reader.text(type, is: "end") {
      let end = try SimplonEnd(&reader, &entries)
      try checkEnd(reader)
      message.kind = .other
      guard let number = end.series else { return refuseMessage("a series end without a number", ring) }
      append(intake.series.end(number), ring)
    } else {
      message.kind = .other
      events.append(.ignored(cause: "a message of an unknown type"))
    }
  }

  private func checkEnd(_ reader: CBORReader) throws(DecodeError) {
    guard reader.isAtEnd else { throw DecodeError("bytes behind the CBOR map") }
  }

  private func begin(_ start: SimplonStart, _ ring: FrameRing) {
    guard let number = start.series else { return refuseMessage("a series header without a number", ring) }
    message.kind = .header
    // The end of the series before it tells of its own channels.
    append(intake.series.header(number), ring)
    channels.beginSeries(first: start.channels.first)
    intake.series.configure(start.configuration)
    take(start.configuration)
  }

  private func take(
    _ image: SimplonImage, of bytes: UnsafeRawBufferPointer, _ reader: CBORReader, _ ring: FrameRing
  ) {
    message.times = image.times
    message.fault = image.fault
    if channels.pass(over: image.channels - (image.channel == nil ? 0 : 1)) {
      let name = image.channel.map { reader.string($0) } ?? "none"
      events.append(
        .ignored(cause: "images of other channels than “\(name)”; `camera.channel` says which is recorded"))
    }
    guard let description = image.description, image.fault == nil else { return }
    message.image = description
    unsafe receivePixels(UnsafeRawBufferPointer(rebasing: bytes[image.pixels]), ring)
  }
}
