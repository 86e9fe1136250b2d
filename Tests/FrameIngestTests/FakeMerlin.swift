import Linux
import Quantities

@testable import FrameIngest

/// A Merlin whose answers and messages the test decides; its command port answers by itself.
final class FakeMerlin: @unchecked Sendable {
  private struct State {
    var answers: [String: String] = [:]
    var requests: [String] = []
    var client: UnixStream?
    var clients = 0
    var isClosing = false
  }

  private let state = Monitor(State())
  private let data: TCPListener
  private let control: TCPListener
  private var threads: [NamedThread] = []

  /// - Parameter answers: whole payloads by "GET,NAME" and so on, in place of the right ones; empty for none at all.
  init(_ answers: [String: String] = [:]) throws {
    data = try TCPListener("127.0.0.1:0")
    control = try TCPListener("127.0.0.1:0")
    state.update { $0.answers = answers }
    threads = [
      NamedThread("fake-merlin-ctl") { [state, control] in Self.answerAll(control, state) },
      NamedThread("fake-merlin-dat") { [state, data] in Self.acceptAll(data, state) },
    ]
  }

  deinit {
    state.update {
      $0.isClosing = true
      $0.client?.shutdown()
    }
    for thread in threads { thread.join() }
  }

  var settings: CameraSettings {
    CameraSettings(
      model: "merlin", url: "tcp://\(data.address)", maximumFrameBytes: 1 << 20, maximumLatency: Seconds(0.25),
      control: "tcp://\(control.address)")
  }

  /// Answers otherwise from now on.
  func answer(_ request: String, _ answer: String) { state.update { $0.answers[request] = answer } }

  var requests: [String] { state.read { $0.requests } }
  /// Data clients so far.
  var clients: Int { state.read { $0.clients } }

  /// Waits for the `number`-th data client.
  func waitForClient(_ number: Int = 1) -> Bool {
    state.wait(atMost: Seconds(5)) { $0.clients >= number && $0.client != nil ? true : nil } ?? false
  }

  func send(_ bytes: [UInt8]) throws { try state.read { $0.client }?.write(bytes) }

  func closeData() {
    state.update {
      $0.client?.shutdown()
      $0.client = nil
    }
  }

  private static func acceptAll(_ listener: TCPListener, _ state: Monitor<State>) {
    while !state.read({ $0.isClosing }) {
      guard let next = try? listener.accept(within: Seconds(0.01)) else { continue }
      state.update {
        $0.client = next
        $0.clients += 1
      }
    }
  }

  private static func answerAll(_ listener: TCPListener, _ state: Monitor<State>) {
    while !state.read({ $0.isClosing }) {
      guard let client = try? listener.accept(within: Seconds(0.01)) else { continue }
      while !state.read({ $0.isClosing }) {
        guard client.isReadable(within: Seconds(0.01)) else { continue }
        guard let prefix = try? client.readExactly(15, within: Seconds(1)),
          let count = Int(String(decoding: prefix[4..<14], as: UTF8.self)),
          let body = try? client.readExactly(count - 1, within: Seconds(1))
        else { break }
        let request = String(decoding: body, as: UTF8.self)
        let name = request.split(separator: ",").prefix(2).joined(separator: ",")
        let value = name == "GET,SOFTWAREVERSION" ? ",1.6.1.217" : name.hasPrefix("GET") ? ",0" : ""
        let answer = state.read { $0.answers[name] } ?? "\(name)\(value),0"
        state.update { $0.requests.append(request) }
        if !answer.isEmpty { try? client.write(merlinMessage(Array(answer.utf8))) }
      }
    }
  }
}

/// `MPX,` and the length, which counts one comma more, before a payload.
func merlinMessage(_ payload: [UInt8]) -> [UInt8] {
  let number = "\(payload.count + 1)"
  return Array("MPX,\(String(repeating: "0", count: 10 - number.count))\(number),".utf8) + payload
}

func merlinAcquisition(frames: Int = 1000) -> [UInt8] {
  let text = [
    "HDR,\t", "Chip ID:\tW529_F5,-,-,-", "Sensor Bias (\u{B5}A):\t3", "Frames in Acquisition (Number):\t\(frames)",
    "Frames per Trigger (Number):\t128", "Counter Depth (number):\t12", "Readout System:\tMerlin Quad",
    "Software Version:\t0.67.0.9", "End\t",
  ].joined(separator: "\r\n")
  return merlinMessage(text.unicodeScalars.map { UInt8($0.value) } + [UInt8](repeating: 32, count: 500))
}

/// A frame's header as the sheet has it (camera-streams.md §3), padded to `offset` bytes.
func merlinHeader(
  _ sequence: String = "000001", width: Int = 4, height: Int = 2, type: String = "U16", layout: String = "   1x1",
  chips: Int = 1, offset: Int = 384, shutter: String = "0.000555",
  extended: String = "MQ1A,2020-05-18T14:51:49.971626178Z,555000ns,6,"
) -> [UInt8] {
  func padded(_ value: Int, _ digits: Int) -> String {
    String(repeating: "0", count: max(0, digits - "\(value)".count)) + "\(value)"
  }
  let dac = "3RX,175," + String(repeating: "511,", count: chips == 1 ? 10 : 26)
  let text =
    "MQ1,\(sequence),\(padded(offset, 5)),\(padded(chips, 2)),\(padded(width, 4)),\(padded(height, 4)),\(type),\(layout),"
    + "\(chips == 1 ? "01" : "0F"),2020-05-18 16:51:49.971626,\(shutter),0,0,0,1.200000E+2,5.110000E+2,"
    + String(repeating: "0.000000E+0,", count: 6) + String(repeating: dac, count: chips) + extended
  return Array(text.utf8) + [UInt8](repeating: 32, count: max(0, offset - text.utf8.count))
}

/// A whole message: 4 × 2 pixels of 16 bit that count up from the sequence number.
func merlinFrame(_ sequence: Int, pixels: [UInt8]? = nil, type: String = "U16", width: Int = 4, height: Int = 2)
  -> [UInt8]
{
  let digits = String(repeating: "0", count: 6 - "\(sequence)".count) + "\(sequence)"
  let own = (0..<8).flatMap { bigEndian(UInt16(sequence) &+ UInt16($0)) }
  return merlinMessage(merlinHeader(digits, width: width, height: height, type: type) + (pixels ?? own))
}
