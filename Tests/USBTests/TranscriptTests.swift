import Glibc
import Linux
import Quantities
import Testing

@testable import USB

private let head = TranscriptHead(
  name: "meter", device: USBDeviceFacts(vendor: 0x1209, product: 1, serial: "A 1"), kind: .cdcACM,
  interface: USBInterface(
    configuration: 1, number: 1, classCode: 0x0A, subclass: 0, protocolCode: 0,
    bulkOut: .init(address: 1, packetSize: 64), bulkIn: .init(address: 0x81, packetSize: 64)))

private func transcript(_ lines: String...) throws -> Transcript {
  try Transcript(head.text + lines.map { $0 + "\n" }.joined(), path: "test.usb")
}

private func temporaryDirectory() throws -> String {
  var template = Array("/tmp/transcripts.XXXXXX".utf8CString)
  try #require(mkdtemp(&template) != nil)
  return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

@Suite("Transcripts of USB conversations")
struct TranscriptTests {
  @Test(
    "Every entry is read as it was written",
    arguments: [
      .control(USBSetup(0xA1, 7, value: 0x1234, index: 2, length: 24), sending: []),
      .control(USBSetup(0x21, 0x20, length: 2), sending: [0, 255]),
      .send(endpoint: 2, [1, 2, 254], endingWithZeroPacket: true), .send(endpoint: 2, [], endingWithZeroPacket: false),
      .receive(endpoint: 0x81, most: 1 << 20), .exchange(out: 1, in: 0x81, most: 512, [[1], [], [2, 3]]),
      .listen(endpoint: 0x83, transfers: 4, most: 64), .clearHalt(endpoint: 0x81), .reset, .close,
      .result(.success([])), .result(.success([0, 16])),
      .result(.failure(.timedOut(device: "d", operation: "endpoint 0x81"))),
      .result(.failure(.stalled(device: "d", endpoint: 0x81))), .result(.failure(.disconnected(device: "d"))),
      .result(.failure(.malformed(device: "d", reason: "a reason, with words"))),
      .heard(endpoint: 0x83, .success([1])), .heard(endpoint: 0x83, .failure(.disconnected(device: "d"))),
    ] as [TranscriptEntry])
  func entries(entry: TranscriptEntry) { #expect(TranscriptEntry(entry.text, device: "d") == entry) }

  @Test(
    "What is no entry is refused with its line",
    arguments: ["0.1 out 01", "0.1 out 01 ABC", "0.1 in 81 x", "0.1 sing", "x close", "0.1 ! failed", "0.1 = 0G"])
  func noEntry(line: String) throws {
    let problem = #expect(throws: Transcript.Problem.self) { try transcript("0.000100 close", line) }
    #expect(problem?.line == head.text.split(separator: "\n", omittingEmptySubsequences: false).count + 1)
  }

  @Test("The head comes back: facts, kind and interface")
  func heads() throws { #expect(try transcript().head == head) }

  @Test("A call that differs is an error with line, what was expected and what came; so is one call too many")
  func differs() throws {
    let device = TranscriptTransport(try transcript("0.1 out 01 4142", "0.2 = -"), name: "meter")
    let wrong = #expect(throws: USBError.self) { try device.send([0x41], to: 1, within: Seconds(1)) }
    #expect("\(try #require(wrong))".contains("line 13: “out 01 4142” was expected, “out 01 41” was asked"))
    #expect(device.remaining == 1)
    try device.send([0x41, 0x42], to: 1, within: Seconds(1))
    #expect(device.remaining == 0)
    let extra = #expect(throws: USBError.self) { try device.clearHalt(1) }
    #expect("\(try #require(extra))".contains("line 15: the transcript has ended"))
  }

  @Test("Errors come back as they were recorded, under the device's present name, and what was heard is heard in order")
  func replays() throws {
    let device = TranscriptTransport(
      try transcript(
        "0.1 listen 81 4 64", "0.1 = -", "0.2 heard 81 = 41", "0.3 out 01 01", "0.4 heard 81 = 42", "0.5 = -",
        "0.6 heard 81 = 43", "0.7 in 81 64", "0.8 ! timedOut endpoint 0x81", "0.9 heard 81 ! disconnected"),
      name: "other")
    let heard = Monitor<[Result<[UInt8], USBError>]>([])
    try device.listen(to: 0x81, transfers: 4, most: 64) { result, _ in heard.update { $0.append(result) } }
    #expect(heard.read { $0 } == [.success([0x41])])
    try device.send([1], to: 1, within: Seconds(1))
    #expect(heard.read { $0 } == [.success([0x41]), .success([0x42]), .success([0x43])])
    #expect(throws: USBError.timedOut(device: "other", operation: "endpoint 0x81")) {
      _ = try device.receive(64, from: 0x81, within: Seconds(1))
    }
    #expect(heard.read { $0.last } == .failure(.disconnected(device: "other")))
  }

  @Test("A reset is carried out, recorded with its result, and replayed; who listened hears nothing after it")
  func resets() throws {
    let directory = try temporaryDirectory()
    defer { unsafe _ = system("rm -r \(directory)") }
    let scripted = ScriptedTransport()
    let writer = try TranscriptWriter(path: directory + "/a.usb", head, exclusive: true) { _ in }
    let recording = RecordingTransport(scripted, writer)
    try recording.listen(to: 0x81, transfers: 1, most: 64) { _, _ in }
    try recording.reset()
    recording.close()
    #expect(scripted.resets == 1)
    let written = try Transcript.read(directory + "/a.usb")
    let entries = written.lines.map(\.entry)
    #expect(entries.suffix(3) == [.reset, .result(.success([])), .close])
    let replayed = TranscriptTransport(
      try transcript(
        "0.1 listen 81 1 64", "0.1 = -", "0.2 reset", "0.3 = -", "0.4 heard 81 = 01", "0.5 in 81 64", "0.6 = 02"),
      name: "meter")
    let heard = Monitor(0)
    try replayed.listen(to: 0x81, transfers: 1, most: 64) { _, _ in heard.update { $0 += 1 } }
    try replayed.reset()
    #expect(try replayed.receive(64, from: 0x81, within: Seconds(1)) == [2])
    #expect(heard.read { $0 } == 0)
  }

  @Test("A full disk ends the recording, says so once, and no call fails or waits for it")
  func fullDisk() throws {
    let told = Monitor<[String]>([])
    let device = ScriptedTransport()
    device.answers = [.success([1, 2])]
    let writer = try TranscriptWriter(path: "/dev/full", head, exclusive: false) { text in
      told.update { $0.append(text) }
    }
    let recording = RecordingTransport(device, writer)
    try recording.send([1], to: 2, within: Seconds(1))
    #expect(try recording.receive(64, from: 0x81, within: Seconds(1)) == [1, 2])
    recording.close()
    #expect(writer.cause == "No space left on device")
    #expect(told.read { $0 } == ["the recording /dev/full has ended: No space left on device"])
  }

  @Test("A recording ends at its limit with a note, and can be replayed up to there")
  func limit() throws {
    let directory = try temporaryDirectory()
    let path = directory + "/a.usb"
    defer {
      FileSystem.remove(path)
      rmdir(directory)
    }
    let writer = try TranscriptWriter(path: path, head, exclusive: true, mostBytes: 600) { _ in }
    let recording = RecordingTransport(ScriptedTransport(), writer)
    for _ in 0..<100 { try recording.send([1], to: 2, within: Seconds(1)) }
    recording.close()
    let text = String(decoding: try FileSystem.read(path), as: UTF8.self)
    #expect(text.hasSuffix("# the recording ends here: it would become longer than 600 bytes\n"))
    let replay = TranscriptTransport(try Transcript.read(path), name: "meter")
    #expect(replay.remaining > 3 && replay.remaining < 20)
    try replay.send([1], to: 2, within: Seconds(1))
  }

  @Test("Each opening takes the next transcript of that device and kind")
  func bus() throws {
    let bus = TranscriptBus([try transcript("0.1 clear-halt 81", "0.1 = -"), try transcript("0.1 close")])
    let match = USBMatch(vendor: 0x1209, product: 1)
    #expect(throws: USBError.self) { _ = try bus.open(match, .usbtmc, name: "meter") }
    try bus.open(match, .cdcACM, name: "meter").clearHalt(0x81)
    _ = try bus.open(match, .cdcACM, name: "meter")
    #expect(throws: USBError.self) { _ = try bus.open(match, .cdcACM, name: "meter") }
  }
}
