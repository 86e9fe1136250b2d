import EmulatedUSB
import Glibc
import Linux
import Quantities
import Testing

@Suite("USB/IP over TCP")
struct USBIPOverTCPTests {
  let rig = USBTMCRig()

  /// A client's socket to a port of this computer, closed when it goes.
  private static func connect(_ port: UInt16) -> FileDescriptor {
    let descriptor = FileDescriptor(owning: socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor.number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    #expect(result == 0)
    var limit = timeval(tv_sec: 5, tv_usec: 0)
    setsockopt(descriptor.number, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    return descriptor
  }

  /// Sends `request` and reads `count` bytes; fewer when the server ends the connection.
  private static func ask(_ descriptor: borrowing FileDescriptor, _ request: [UInt8], _ count: Int) -> [UInt8] {
    _ = write(descriptor.number, request, request.count)
    var answer: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: count)
    while answer.count < count {
      let got = read(descriptor.number, &chunk, count - answer.count)
      if got <= 0 { break }
      answer += chunk[..<got]
    }
    return answer
  }

  private static let listRequest = bytes("01 11 80 05 00 00 00 00")
  private static let importRequest =
    bytes("01 11 80 03 00 00 00 00") + Array("1-1".utf8) + [UInt8](repeating: 0, count: 29)

  private func server() throws -> (USBIPServer, TCPListener) {
    let listener = try TCPListener("127.0.0.1:0")
    return (USBIPServer(listener, [.init(busID: "1-1", device: rig.device)]), listener)
  }

  private func wait(for condition: () -> Bool) -> Bool {
    let end = MonotonicTime.now + Seconds(5)
    while !condition() {
      if MonotonicTime.now > end { return false }
      sleepThread(for: Seconds(0.005))
    }
    return true
  }

  @Test("it lists its devices over TCP")
  func list() throws {
    let (server, listener) = try server()
    defer { server.stop() }
    let client = Self.connect(listener.port)
    let answer = Self.ask(client, Self.listRequest, 12 + 316)
    #expect(answer.count == 12 + 316)
    #expect(answer.prefix(12) == bytes("01 11 00 05 00 00 00 00 00 00 00 01")[...])
  }

  @Test("the end of the computer's connection is the end of the cable, and the device can be attached again")
  func cable() throws {
    let (server, listener) = try server()
    defer { server.stop() }
    for round in 1...3 {
      do {
        let client = Self.connect(listener.port)
        #expect(Self.ask(client, Self.importRequest, 8 + 312).prefix(8) == bytes("01 11 00 03 00 00 00 00")[...])
        #expect(rig.device.isAttached)
      }
      #expect(wait { rig.device.perform { rig.instrument.losses } == round }, "round \(round)")
      #expect(wait { rig.device.isPlugged && !rig.device.isAttached })
    }
  }

  @Test("one connection more than the limit is refused, and served when there is room again")
  func connections() throws {
    let (server, listener) = try server()
    defer { server.stop() }
    func fill(_ left: Int) {
      let client = Self.connect(listener.port)
      if left > 1 { return fill(left - 1) }
      #expect(wait { server.connectionCount == USBIPServer.maximumConnections })
      let refused = Self.connect(listener.port)
      #expect(Self.ask(refused, Self.listRequest, 12) == [], "closed without an answer")
      #expect(!Self.ask(client, Self.listRequest, 12).isEmpty)
    }
    fill(USBIPServer.maximumConnections)
    #expect(wait { server.connectionCount == 0 })
    let client = Self.connect(listener.port)
    #expect(Self.ask(client, Self.listRequest, 12).count == 12)
  }

  @Test("an address is HOST:PORT; what is only for this computer is known as such")
  func addresses() throws {
    for wrong in [
      "", "3240", "localhost", "127.0.0.1:", "127.0.0.1:70000", ":3240", "::1:3240", "no.such.host.invalid:1",
    ] {
      #expect(throws: LinuxError.self, "\(wrong)") { try TCPListener(wrong) }
    }
    let here = try TCPListener("127.0.0.1:0")
    #expect(here.isLoopback)
    #expect(here.address == "127.0.0.1:\(here.port)")
    #expect(throws: LinuxError.self, "taken") { try TCPListener(here.address) }
    let everywhere = try TCPListener("0.0.0.0:0")
    #expect(!everywhere.isLoopback)
  }
}
