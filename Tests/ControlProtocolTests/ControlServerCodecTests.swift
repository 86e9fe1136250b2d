import ControlProtocol
import JSON
import Testing

@Suite("Messages of strangers become requests or exact refusals")
struct ControlServerCodecTests {
  private let identity: [UInt8] = [0, 1, 2, 3, 4]

  private func decode(_ text: String) -> ControlIncoming { ControlServerCodec.decode([identity, Array(text.utf8)]) }

  /// Code and id of the refusal that goes back.
  private func refusal(_ incoming: ControlIncoming) -> (code: Int64, id: JSONValue)? {
    guard case .refused(let message) = incoming, message.first == identity,
      let reply = ControlReply(parsing: message.last ?? []), case .failure(let error) = reply.outcome
    else { return nil }
    return (error.kind.code, reply.id ?? .null)
  }

  @Test("a request of a DEALER and one of a REQ socket come out the same, each with its own envelope")
  func envelopes() throws {
    let json = Array(#"{"jsonrpc":"2.0","id":7,"method":"note","params":{"text":"dark"}}"#.utf8)
    let request = ControlRequest(id: 7, method: .note, parameters: ["text": "dark"])
    #expect(ControlServerCodec.decode([identity, json]) == .request(request, envelope: [identity]))
    #expect(ControlServerCodec.decode([identity, [], json]) == .request(request, envelope: [identity, []]))
    let answer = ControlServerCodec.message(ControlReply(to: request, result: ["run": "R"]), to: [identity, []])
    #expect(answer?.count == 3)
    #expect(answer?.prefix(2) == [identity, []])
    let text = String(decoding: try #require(answer?.last), as: UTF8.self)
    #expect(text == #"{"id":7,"jsonrpc":"2.0","result":{"run":"R"}}"#)
  }

  @Test(
    "wrong messages get the codes of JSON-RPC 2.0",
    arguments: [
      ("", -32700), ("{", -32700), (#"{"jsonrpc":"2.0","id":1,"method":"sta"#, -32700), ("\u{0}\u{1}", -32700),
      ("[]", -32600), ("1", -32600), ("null", -32600), (#""status""#, -32600),
      (#"[{"jsonrpc":"2.0","id":1,"method":"status"}]"#, -32600),
      (#"{"id":1,"method":"status"}"#, -32600), (#"{"jsonrpc":2.0,"id":1,"method":"status"}"#, -32600),
      (#"{"jsonrpc":"2.0","id":1}"#, -32600), (#"{"jsonrpc":"2.0","id":1,"method":3}"#, -32600),
      (#"{"jsonrpc":"2.0","id":{},"method":"status"}"#, -32600),
      (#"{"jsonrpc":"2.0","id":true,"method":"status"}"#, -32600),
      (#"{"jsonrpc":"2.0","id":1,"method":"status","params":3}"#, -32600),
      (#"{"jsonrpc":"2.0","id":1,"method":"reboot"}"#, -32601),
      (#"{"jsonrpc":"2.0","id":1,"method":"note"}"#, -32602),
      (#"{"jsonrpc":"2.0","id":1,"method":"note","params":["dark"]}"#, -32602),
      (#"{"jsonrpc":"2.0","id":1,"method":"note","params":{"text":3}}"#, -32602),
      (#"{"jsonrpc":"2.0","id":1,"method":"note","params":{"text":"a","colour":"red"}}"#, -32602),
    ])
  func refusals(text: String, code: Int64) throws {
    let answer = try #require(refusal(decode(text)))
    #expect(answer.code == code)
    let isRead = code == -32601 || code == -32602
    if isRead { #expect(answer.id == 1) }
  }

  @Test("an id comes back as it was sent", arguments: [1, "a", nil, 2.5] as [JSONValue?])
  func identifiers(id: JSONValue?) throws {
    let sent = id ?? .null
    let incoming = decode(#"{"jsonrpc":"2.0","id":\#(sent.text),"method":"reboot"}"#)
    #expect(try #require(refusal(incoming)).id == sent)
  }

  @Test("a notification is carried out and never answered, not even when it is wrong")
  func notifications() {
    let request = ControlRequest(id: nil, method: .emergencyStop)
    #expect(decode(#"{"jsonrpc":"2.0","method":"estop"}"#) == .request(request, envelope: [identity]))
    #expect(ControlServerCodec.message(ControlReply(to: request, result: .null), to: [identity]) == nil)
    guard case .dropped = decode(#"{"jsonrpc":"2.0","method":"reboot"}"#) else {
      Issue.record("an unknown notification was answered")
      return
    }
  }

  @Test("a message of ten megabytes is refused without being parsed")
  func oversized() throws {
    let large = [UInt8](repeating: 0x5B, count: 10_000_000)
    let incoming = ControlServerCodec.decode([identity, large])
    #expect(try #require(refusal(incoming)).code == -32600)
  }

  @Test("depth and number of values are limited before anything is built")
  func limits() throws {
    let deep = String(repeating: "[", count: 100_000)
    #expect(try #require(refusal(decode(deep))).code == -32700)
    let wide = "[" + String(repeating: "0,", count: 400_000) + "0]"
    #expect(try #require(refusal(decode(wide))).code == -32700)
    // Brackets inside a text are text.
    let text = String(repeating: "[", count: 1000)
    guard case .request = decode(#"{"jsonrpc":"2.0","id":1,"method":"note","params":{"text":"\"\#(text)"}}"#) else {
      Issue.record("brackets in a text were counted")
      return
    }
  }

  @Test("a message without content, and one of many parts, harm nobody")
  func parts() throws {
    guard case .dropped = ControlServerCodec.decode([identity]), case .dropped = ControlServerCodec.decode([]) else {
      Issue.record("a message without content was taken")
      return
    }
    let many = ControlServerCodec.decode([identity] + [[UInt8]](repeating: Array("{}".utf8), count: 1000))
    #expect(try #require(refusal(many)).code == -32600)
  }

  @Test("bytes that are random never make a request", arguments: 0..<200 as Range<UInt64>)
  func noise(seed: UInt64) {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
    let bytes = (0..<Int(seed % 97)).map { _ -> UInt8 in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
    if case .request = ControlServerCodec.decode([identity, bytes]) { Issue.record("seed \(seed) made a request") }
  }

  @Test("every half of a request is refused")
  func halves() throws {
    let whole = ControlRequest(id: 3, method: .runsShow, parameters: ["id": "last"]).bytes
    for length in 0..<whole.count {
      let incoming = ControlServerCodec.decode([identity, Array(whole[..<length])])
      #expect(try #require(refusal(incoming)).code == -32700)
    }
  }
}
