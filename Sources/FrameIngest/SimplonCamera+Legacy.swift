import FrameRing
import JSON

/// Stream version 1: messages of several parts (camera-streams.md §2).
extension SimplonCamera {
  private static let mostJSONBytes = 1 << 20

  func part(_ index: Int, _ more: Bool, _ bytes: UnsafeRawBufferPointer, _ ring: FrameRing) {
    message.parts = index + 1
    switch (message.kind, index) {
    case (_, 0): unsafe firstPart(bytes, isAlone: !more, ring)
    case (.header, 1): if let json = unsafe object(bytes) { configure(json) }
    case (.image, 1): if message.problem == nil { unsafe describe(bytes) }
    case (.image, 2): if message.problem == nil { unsafe receivePixels(bytes, ring) }
    case (.image, _):
      // dconfig-1.0 is the fourth part; an image_appendix after it is the operator's own affair.
      if message.times == nil, unsafe isOfUsableSize(bytes) { message.times = unsafe SimplonTimes(part: bytes) }
    default: break
    }
  }

  private func isOfUsableSize(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.count <= Self.mostJSONBytes }

  /// What comes once in a series is made a value of.
  private func object(_ bytes: UnsafeRawBufferPointer) -> JSONValue? {
    guard unsafe isOfUsableSize(bytes), unsafe bytes.first == UInt8(ascii: "{") else { return nil }
    return unsafe try? JSONValue(parsing: bytes)
  }

  private func firstPart(_ bytes: UnsafeRawBufferPointer, isAlone: Bool, _ ring: FrameRing) {
    let awaited = isAlone ? expected : .nothing
    expected = .nothing
    let head = unsafe isOfUsableSize(bytes) ? SimplonHead(part: bytes) : nil
    switch head?.kind {
    case .image: beginImage(head?.series, head?.frame, ring)
    case .header:
      guard let number = head?.series else { return refuseMessage("a series header without a number", ring) }
      message.kind = .header
      append(intake.series.header(number), ring)
      if isAlone && head?.hasNoDetail == false { expected = .configuration }
    case .end:
      guard let number = head?.series else { return refuseMessage("a series end without a number", ring) }
      message.kind = .other
      append(intake.series.end(number), ring)
    case .field:
      message.kind = .other
      if isAlone { expected = .blob }
    case .unknown:
      message.kind = .other
      events.append(.ignored(cause: "a message of an unknown htype"))
    case .unnamed, nil:
      let json = awaited == .configuration ? unsafe object(bytes) : nil
      if let json { configure(json) }
      if awaited == .nothing || (awaited == .configuration && json == nil) {
        // A CBOR map that begins with the text “type” (camera-streams.md §1).
        let isCBOR = unsafe isAlone && bytes.count > 6 && bytes[0] >> 5 == 5 && bytes[1] == 0x64
        return refuseMessage(
          isCBOR
            ? "a message of stream version 2; write `model: simplon2`, or set the detector's stream format to legacy"
            : "a message that is not of the SIMPLON stream", ring)
      }
      message.kind = .other
    }
  }

  private func configure(_ json: JSONValue) {
    let configuration = SimplonConfiguration(json)
    intake.series.configure(configuration)
    take(configuration)
  }

  private func describe(_ bytes: UnsafeRawBufferPointer) {
    do throws(DecodeError) {
      guard unsafe isOfUsableSize(bytes) else { throw DecodeError("an image without dimage_d-1.0") }
      message.image = try unsafe SimplonImageDescription(part: bytes)
    } catch {
      message.fault = error
    }
  }
}
