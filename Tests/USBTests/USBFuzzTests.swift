import Quantities
import Testing
import TwinBench
import USB

@Suite("Decoders of the bus under mutation")
struct USBFuzzTests {
  @Test("Bulk-IN: what is given out came in, and the question after it is answered")
  func bulkIn() throws {
    let device = ScriptedTransport(packetSize: 64)
    let messages = try USBTMC(device, name: "fuzz")
    let corpus: [[UInt8]] = [0, 1, 5, 51, 52, 53, 200].map { count in
      [2, 0, 0, 0, UInt8(count), 0, 0, 0, 1, 0, 0, 0] + (0..<count).map { UInt8($0) } + [0, 0]
    }
    Mutations("Bulk-IN", 6000, of: corpus).forEach { mutated, numbers in
      var answer = mutated
      // The right tags most of the time: else nothing behind the first check would ever be reached.
      let tag = device.sent.last?[1] ?? 0
      let next = tag >= 254 ? tag &- 253 : tag + 2
      if answer.count > 2, numbers.next() % 8 != 0 {
        answer[1] = next == 0 ? 1 : next
        answer[2] = ~answer[1]
      }
      device.answers = [.success(answer)]
      if let given = try? messages.query([65]) {
        #expect(given.count <= max(0, answer.count - 12) && given == Array(answer.dropFirst(12).prefix(given.count)))
      }
      device.answers = []
      device.controls = []
      device.cleared = []
      device.sent = [device.sent.last ?? []]
    }
  }

  @Test("Descriptors: whatever they say, an interface has packets and a configuration")
  func descriptors() {
    let corpus: [[UInt8]] = [
      [9, 2, 39, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 3, 0xFE, 3, 1, 0, 7, 5, 0x83, 2, 0, 2, 0, 7, 5, 0x81, 3, 8, 0, 16]
        + [7, 5, 4, 2, 64, 0, 0],
      [9, 2, 75, 0, 2, 1, 0, 0x80, 50, 8, 11, 0, 2, 2, 2, 0, 0, 9, 4, 0, 0, 1, 2, 2, 0, 0, 5, 36, 0, 16, 1]
        + [5, 36, 1, 0, 1, 4, 36, 2, 2, 5, 36, 6, 0, 1, 7, 5, 0x83, 3, 8, 0, 9, 9, 4, 1, 0, 2, 10, 0, 0, 0]
        + [7, 5, 1, 2, 64, 0, 0, 7, 5, 0x82, 2, 64, 0, 0],
      [
        9, 2, 32, 0, 1, 1, 0, 0xA0, 45, 9, 4, 0, 0, 2, 0xFF, 0xFF, 0xFF, 0, 7, 5, 0x81, 2, 64, 0, 0, 7, 5, 2, 2, 64, 0,
        0,
      ],
    ]
    #expect(USBInterface.first(.cdcACM, in: corpus[1])?.controlNumber == 0)
    Mutations("descriptors", 20_000, of: corpus).forEach { bytes, _ in
      for kind: USBInterfaceKind in [.usbtmc, .cdcACM, .ftdi(port: 0), .ftdi(port: 1)] {
        guard let interface = USBInterface.first(kind, in: bytes) else { continue }
        for endpoint in [interface.bulkIn, interface.bulkOut, interface.interruptIn].compactMap({ $0 }) {
          #expect((1...0x7FF).contains(endpoint.packetSize))
        }
      }
    }
  }

  @Test("FTDI: never more bytes than came, two less for each packet")
  func ftdi() {
    let full: [UInt8] = [0x01, 0x60] + (0..<62).map { $0 }
    Mutations("FTDI stream", 10_000, of: [full + full + [1, 0x62, 10], [1, 0x60], full, [1, 0x60, 65, 10], []]).forEach
    { bytes, _ in
      let payload = FTDIStream.strip(bytes, packetSize: 64).payload
      let packets = (bytes.count + 63) / 64
      let last = bytes.count % 64 == 1 ? 1 : 0
      #expect(payload.count == max(0, bytes.count - 2 * packets + last))
      var input = SerialInput(statusBytesInPacketsOf: 64)
      input.take(.success(bytes), at: MonotonicTime(nanoseconds: 0))
      var lines = 0
      while case .line(let line)? = input.next(afterLines: false) {
        lines += line.text.utf8.count
        if lines > 1 << 20 { break }
      }
      // A byte that is no text may become three.
      #expect(lines <= 3 * payload.count)
    }
  }

  @Test("Blocks: what is given out is part of the response, as long as its head says")
  func blocks() {
    let corpus = ["#15abcde\n", "#0abc\n", "#210abcdefghij\n", "#10\n", "#9000000003abc\n", "1.5\n"].map {
      Array($0.utf8)
    }
    Mutations("blocks", 50_000, of: corpus).forEach { bytes, _ in
      guard let content = SCPIBlock.content(of: bytes) else { return }
      #expect(bytes.first == UInt8(ascii: "#") && content.count <= bytes.count - 2)
      if let length = SCPIBlock.length(bytes) { #expect(content.count < length) }
    }
  }
}
