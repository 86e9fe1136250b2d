import ControlProtocol
import JSON
import Linux
import Quantities
import Testing
import ZeroMQ

extension DaemonTests {
  @Suite("Clients that do odd things")
  struct ControlSocket {
    /// Sends as it is and gives what comes back within `limit`; nil for nothing.
    private static func exchange(_ socket: ZeroMQSocket, _ parts: [[UInt8]], within limit: Int = 3000) throws
      -> JSONValue?
    {
      try socket.send(parts)
      guard socket.waitReadable(milliseconds: limit), let reply = try socket.receive()?.last else { return nil }
      return try JSONValue(parsing: reply)
    }

    @Test("Garbage, half a request and wrong types are answered with a code, and the daemon goes on")
    func garbage() throws {
      let laboratory = try Laboratory()
      try laboratory.startDaemon()
      let context = ZeroMQContext()
      let socket = try ZeroMQSocket(context, .dealer)
      try socket.connect(laboratory.endpoint)
      let cases: [(String, Int64)] = [
        ("\u{0}\u{1}garbage", -32700), (#"{"jsonrpc":"2.0","id":1,"meth"#, -32700), ("", -32700), ("[]", -32600),
        ("17", -32600), (#"{"jsonrpc":"2.0","id":[1],"method":"status"}"#, -32600),
        (#"{"jsonrpc":"1.0","id":1,"method":"status"}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (#"{"jsonrpc":"2.0","id":1,"method":"launch"}"#, -32601),
        (#"{"jsonrpc":"2.0","id":1,"method":"note","params":{"text":7}}"#, -32602),
        (#"{"jsonrpc":"2.0","id":1,"method":"run.start","params":["x"]}"#, -32602),
        (#"{"jsonrpc":"2.0","id":1,"method":"run.start"}"#, -32602),
        (String(repeating: "[", count: 100_000), -32700),
      ]
      for (text, code) in cases {
        let reply = try Self.exchange(socket, [Array(text.utf8)])
        #expect(reply?.at("error.code")?.integer == code, "\(text.prefix(60)): \(reply?.text ?? "no answer")")
        #expect(reply?.at("error.message")?.string?.isEmpty == false)
      }
      let bytes: [UInt8] = [0xFF, 0xFE, 0xC3, 0x28]
      let reply = try Self.exchange(socket, [bytes])
      #expect(reply?.at("error.code")?.integer == -32700)
      let parts = try Self.exchange(socket, [[1], [2], [3], [4], [5]])
      #expect(parts?.at("error.code")?.integer == -32600)
      // As a REQ socket sends it: with an empty part in front.
      let request = #"{"jsonrpc":"2.0","id":"a","method":"hello"}"#
      let hello = try Self.exchange(socket, [[], Array(request.utf8)])
      #expect(hello?["id"]?.string == "a")
      #expect(hello?.at("result.protocol_version")?.integer == 1)
      #expect(try laboratory.client().call(.status)["state"]?.string == "idle")
    }

    @Test("10 MB, a thousand quick requests and a client that never reads hold nobody up, not even a run")
    func floods() throws {
      let laboratory = try Laboratory()
      let daemon = try laboratory.startDaemon()
      let client = try laboratory.client()
      try laboratory.start(client, "- Charge at 2 pA for 4 s:\n    record: 100 fps")
      let context = ZeroMQContext()

      let large = try ZeroMQSocket(context, .dealer)
      large.setLinger(milliseconds: 0)
      try large.connect(laboratory.endpoint)
      try large.send([[UInt8](repeating: UInt8(ascii: "x"), count: 10 << 20)])
      let larger = try Self.exchange(large, [[UInt8](repeating: UInt8(ascii: " "), count: 1 << 20)], within: 300)
      #expect(larger?["result"] == nil)

      // Never reads; its replies have nowhere to go.
      let mute = try ZeroMQSocket(context, .dealer)
      mute.setHighWaterMark(send: 20_000, receive: 1)
      mute.setLinger(milliseconds: 0)
      try mute.connect(laboratory.endpoint)
      let question = Array(#"{"jsonrpc":"2.0","id":1,"method":"status"}"#.utf8)
      for _ in 0..<5000 { try mute.send([question], waiting: false) }

      let quick = try ZeroMQSocket(context, .dealer)
      quick.setHighWaterMark(send: 2000, receive: 2000)
      try quick.connect(laboratory.endpoint)
      for number in 0..<1000 {
        try quick.send([Array(#"{"jsonrpc":"2.0","id":\#(number),"method":"hello"}"#.utf8)])
      }
      var answered: Set<Int64> = []
      let end = MonotonicTime.now + Seconds(8)
      while answered.count < 1000, MonotonicTime.now < end {
        _ = quick.waitReadable(milliseconds: 100)
        while let reply = try quick.receive()?.last {
          if let id = try JSONValue(parsing: reply)["id"]?.integer { answered.insert(id) }
        }
      }
      #expect(answered.count == 1000)
      let asked = MonotonicTime.now
      #expect(try client.call(.status)["software"]?.string?.hasPrefix("insitud") == true)
      #expect(MonotonicTime.now - asked < Seconds(1))
      let shown = try laboratory.ended(client)
      #expect(shown["outcome"]?.string == "complete", "\(shown["reason"]?.text ?? "")")
      #expect(shown.at("ledger.balanced")?.bool == true)
      #expect(daemon.exitCode == nil)
    }
  }
}
