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
      if message.times == nil, let json = unsafe object(bytes) { message.times = SimplonTimes(json) }
    default: break
    }
  }

  private func object(_ bytes: UnsafeRawBufferPointer) -> JSONValue? {
    guard bytes.count <= Self.mostJSONBytes, unsafe bytes.first == UInt8(ascii: "{") else { return nil }
    return unsafe try? JSONValue(parsing: bytes)
  }

  private func firstPart(_ bytes: UnsafeRawBufferPointer, isAlone: Bool, _ ring: FrameRing) {
    let awaited = isAlone ? expected : .nothing
    expected = .nothing
    let json = unsafe object(bytes)
    let number = json?["series"]?.integer.flatMap { UInt64(exactly: $0) }
    switch json?["htype"]?.string {
    case "dimage-1.0": beginImage(number, json?["frame"]?.integer.flatMap { UInt64(exactly: $0) }, ring)
    case "dheader-1.0":
      guard let number else { return refuseMessage("a series header without a number", ring) }
      message.kind = .header
      append(series.header(number), ring)
      if isAlone && json?["header_detail"]?.string != "none" { expected = .configuration }
    case "dseries_end-1.0":
      guard let number else { return refuseMessage("a series end without a number", ring) }
      message.kind = .other
      append(series.end(number), ring)
    case "dflatfield-1.0", "dpixelmask-1.0", "dcountrate_table-1.0":
      message.kind = .other
      if isAlone { expected = .blob }
    case .some:
      message.kind = .other
      events.append(.ignored(cause: "a message of an unknown htype"))
    case nil:
      if awaited == .configuration, let json { configure(json) }
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
    series.configure(configuration)
    take(configuration)
  }

  private func describe(_ bytes: UnsafeRawBufferPointer) {
    do throws(DecodeError) {
      guard let json = unsafe object(bytes) else { throw DecodeError("an image without dimage_d-1.0") }
      message.image = try SimplonImageDescription(json)
    } catch {
      message.fault = error
    }
  }
}
