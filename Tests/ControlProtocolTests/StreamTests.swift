import ControlProtocol
import JSON
import Linux
import Quantities
import Testing
import ZeroMQ

@Suite("Streams")
struct StreamTests {
  private func frameHeader(sequence: UInt64) -> StreamHeader {
    let picture = StreamPicture(
      dtype: "<u2", height: 2, width: 3, series: 4, frame: 17, exposureNanoseconds: 2_400_000, step: 5,
      voltage_V: 3.7, current_A: 2e-12, charge_C: .nan)
    return StreamHeader(
      .frame, stream: "camera", run: "01J", sequence: sequence, unixNanoseconds: 1_700_000_000_123_456_789,
      monotonicNanoseconds: 42, clock: StreamClock(source: "camera \"fitted\"\n", uncertaintyNanoseconds: nil),
      parts: [picture.part], picture: picture)
  }

  @Test("a frame's header has the fields of array-1.0 and of this program, exact to the nanosecond")
  func frame() throws {
    let header = try JSONValue(parsing: frameHeader(sequence: 9).bytes)
    #expect(header["v"] == 1)
    #expect(header["seq"] == 9)
    #expect(header["t_ns"] == 1_700_000_000_123_456_789)
    #expect(header["htype"] == "array-1.0")
    #expect(header["type"] == "uint16")
    #expect(header["shape"] == [2, 3])
    #expect(header["endianness"] == "little")
    #expect(header["i_A"] == 2e-12)
    #expect(header["charge_C"] == .null)
    #expect(header["clock"] == ["source": "camera \"fitted\"\n", "uncertainty_ns": .null])
    #expect(header["parts"] == [["name": "pixels", "dtype": "<u2", "shape": [2, 3], "unit": "count"]])
  }

  @Test("a reference names file, offset and size, and a message outside a run has a null run")
  func reference() throws {
    let header = StreamHeader(
      .reference, stream: "camera", run: nil, sequence: 0, unixNanoseconds: 1, monotonicNanoseconds: 2,
      clock: StreamClock(source: "host", uncertaintyNanoseconds: 1000),
      reference: StreamReference(file: "/d/frames-0000.mrc", offset: 4096, byteCount: 12),
      members: ["kind": "x", "details": ["a": 1]])
    let document = try JSONValue(parsing: header.bytes)
    #expect(document["run"] == .null)
    #expect(document["file"] == "/d/frames-0000.mrc")
    #expect(document["offset"] == 4096)
    #expect(document["nbytes"] == 12)
    #expect(document["details"] == ["a": 1])
    #expect(header.messageHead[0] == Array("ref/camera".utf8))
  }

  @Test("topics never are prefixes of each other, and people may leave the slash out")
  func topics() {
    for one in Topic.allCases {
      #expect(one.rawValue.hasSuffix("/"))
      for other in Topic.allCases where other != one { #expect(!other.rawValue.hasPrefix(one.rawValue)) }
    }
    #expect(Topic(parsing: "frame") == .frame)
    #expect(Topic(parsing: "ref/camera") == .reference)
    #expect(Topic(parsing: "fram") == nil)
    #expect(Topic(parsing: "") == nil)
  }

  private var samples: SampleColumns {
    var columns = SampleColumns()
    columns.append(
      unixNanoseconds: 1_700_000_000_000_000_001, monotonicNanoseconds: -5, voltage_V: 3.7, current_A: 2e-12,
      charge_C: 1e-12, range_A: 1e-10, flags: 3, step: 7)
    columns.append(
      unixNanoseconds: 1_700_000_000_010_000_001, monotonicNanoseconds: 10, voltage_V: nil, current_A: nil,
      charge_C: 2e-12, range_A: 1e-10, flags: 2, step: 7)
    return columns
  }

  @Test("columns of samples come out as they went in; a value the instrument did not give is null")
  func columns() throws {
    let header = StreamHeader(
      .sample, stream: "potentiostat", run: "R", sequence: 0, unixNanoseconds: 0, monotonicNanoseconds: 0,
      clock: StreamClock(source: "host", uncertaintyNanoseconds: nil), parts: samples.parts)
    let message = try #require(StreamMessage(header.messageHead + samples.columns))
    #expect(message.topic == "sample/potentiostat")
    #expect(message.numbers("t_ns") == [1_700_000_000_000_000_001, 1_700_000_000_010_000_001])
    #expect(message.numbers("t_mono_ns") == [-5, 10])
    #expect(message.numbers("voltage_V") == [3.7, .null])
    #expect(message.numbers("current_A") == [2e-12, .null])
    #expect(message.numbers("flags") == [3, 2])
    #expect(message.numbers("force") == nil)
  }

  @Test(
    "a part whose length does not fit its description is not read",
    arguments: ["[3]", "[-2]", "[9223372036854775807,9223372036854775807]", "[4611686018427387904]", "[0.5]"])
  func misfit(shape: String) throws {
    let header = #"{"parts":[{"name":"a","dtype":"<f8","shape":\#(shape)}]}"#
    let message = try #require(
      StreamMessage([Array("sample/".utf8), Array(header.utf8), [UInt8](repeating: 0, count: 16)]))
    #expect(message.numbers("a") == nil)
    #expect(StreamMessage([[1], [2]]) == nil)
    #expect(StreamMessage([[1]]) == nil)
  }

  @Test("a subscriber gets its topic only, and counts what it missed")
  func subscriber() throws {
    let context = ZeroMQContext()
    let publisher = try ZeroMQSocket(context, .publishObserving)
    let path = "/tmp/insitud-test-stream-\(MonotonicTime.now.nanoseconds)"
    try publisher.bind("ipc://\(path)")
    defer { FileSystem.remove(path) }
    let subscriber = try StreamSubscriber("ipc://\(path)", prefix: "frame/")
    // The subscription has arrived when the publisher can read it.
    try #require(publisher.waitReadable(milliseconds: 5000))
    _ = try publisher.receive()
    try publisher.send([Array("frames/camera".utf8), Array("{}".utf8)])
    for sequence in [0, 1, 5] as [UInt64] {
      try publisher.send(frameHeader(sequence: sequence).messageHead + [[UInt8](repeating: 1, count: 12)])
    }
    for expected in [0, 1, 5] as [Int64] {
      let message = try #require(try subscriber.next(within: Seconds(5)))
      #expect(message.header["seq"]?.integer == expected)
      #expect(message.numbers("pixels")?.count == 6)
    }
    #expect(subscriber.missed == ["frame/camera": 3])
    #expect(try subscriber.next(within: Seconds(0)) == nil)
  }
}
