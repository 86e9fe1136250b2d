import Glibc
import Linux
import Quantities
import Testing

@Suite struct UnixStreamTests {
  /// A listener and both ends of one connection to it.
  private func connected(_ body: (UnixStream, UnixStream) throws -> Void) throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let listener = try UnixListener(scratch.path + "/socket")
    let client = try UnixStream.connect(listener.path)
    let server = try #require(try listener.accept(within: Seconds(5)))
    try body(client, server)
  }

  @Test("Bytes and lines arrive as they were sent")
  func transfer() throws {
    try connected { client, server in
      try client.write(Array("IDENTIFY\nSTOP\n".utf8) + [1, 2, 3])
      #expect(try server.readLine(within: Seconds(5)) == "IDENTIFY")
      #expect(try server.readLine(within: Seconds(5)) == "STOP")
      #expect(try server.readExactly(3, within: Seconds(5)) == [1, 2, 3])
      #expect(!server.isReadable(within: .zero))
      try server.write([9])
      #expect(client.isReadable(within: Seconds(5)))
      #expect(try client.readExactly(1, within: Seconds(5)) == [9])
    }
  }

  @Test("More than the socket holds is written while the other end reads")
  func large() throws {
    try connected { client, server in
      let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 / 3) }
      let writer = NamedThread("writer") { try? client.write(bytes, within: Seconds(30)) }
      let received = try server.readExactly(bytes.count, within: Seconds(30))
      writer.join()
      #expect(received == bytes)
    }
  }

  @Test("Silence ends with a time-out, on either side")
  func timeout() throws {
    try connected { client, server in
      let reading = #expect(throws: LinuxError.self) { try server.readExactly(1, within: Seconds(0.02)) }
      #expect(reading?.number == ETIMEDOUT)
      let writing = #expect(throws: LinuxError.self) {
        try client.write([UInt8](repeating: 0, count: 10_000_000), within: Seconds(0.02))
      }
      #expect(writing?.number == ETIMEDOUT)
    }
  }

  @Test("A peer that has gone is an error, not the end of the program")
  func closed() throws {
    try connected { client, server in
      client.shutdown()
      let reading = #expect(throws: LinuxError.self) { try server.readExactly(1, within: Seconds(5)) }
      #expect(reading?.number == ECONNRESET)
      let writing = #expect(throws: LinuxError.self) {
        for _ in 0..<100 { try server.write([UInt8](repeating: 0, count: 100_000)) }
      }
      #expect(writing?.number == EPIPE)
    }
  }

  @Test("A line that does not end is refused at its limit")
  func endlessLine() throws {
    try connected { client, server in
      try client.write([UInt8](repeating: 65, count: 100))
      let error = #expect(throws: LinuxError.self) { try server.readLine(most: 100, within: Seconds(5)) }
      #expect(error?.number == EMSGSIZE)
    }
  }

  @Test("The peer is known by its process")
  func peer() throws {
    try connected { client, server in
      #expect(server.peer?.process == getpid())
      #expect(server.peer?.user == Int32(bitPattern: getuid()))
      #expect(client.peer?.process == getpid())
    }
  }

  @Test("A socket in use is not taken over; one left behind is")
  func takeover() throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let path = scratch.path + "/socket"
    do {
      let listener = try UnixListener(path)
      let error = #expect(throws: LinuxError.self) { try UnixListener(listener.path) }
      #expect(error?.number == EADDRINUSE)
    }
    #expect(!FileSystem.exists(path))
    try FileSystem.replace(path, with: [])  // stands for a socket whose process is gone
    let again = try UnixListener(path)
    #expect(try again.accept(within: .zero) == nil)
    let tooLong = #expect(throws: LinuxError.self) {
      try UnixStream.connect("/tmp/" + String(repeating: "x", count: 120))
    }
    #expect(tooLong?.number == ENAMETOOLONG)
  }
}
