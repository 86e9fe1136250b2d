import EmulatedUSB
import Glibc
import Linux
import Quantities
import Testing
import TwinBench
import USB

@Suite("Serial lines over USB")
struct SerialConnectionTests {
  private static let patience = Seconds(10)

  @Test("Lines go both ways unharmed, of every length around a packet", arguments: [SerialKind.cdcACM, .ftdi])
  func roundTrips(kind: SerialKind) throws {
    let bench = LineBench(kind)
    let connection = try bench.open()
    for length in Array(0...5) + Array(55...70) + [124, 126, 127, 128, 129, 500, 512] {
      let text = String(repeating: "x", count: length)
      try connection.write(Array((text + "\n").utf8))
      #expect(try connection.line(within: Self.patience)?.text == "=" + text, "\(length) bytes")
    }
    #expect(try connection.lines() == [])
    #expect(connection.losses == 0)
    connection.close()
    // DTR and RTS come up with the line and go down with it.
    #expect(bench.instrument.lines.first?.dtr == true && bench.instrument.lines.first?.rts == true)
    #expect(bench.instrument.lines.last?.dtr == false && bench.instrument.lines.last?.rts == false)
  }

  @Test("The same over USB/IP", arguments: [SerialKind.cdcACM, .ftdi])
  func overUSBIP(kind: SerialKind) throws {
    let bench = LineBench(kind)
    let path = "/tmp/insitud-serial-\(getpid())-\(String(UInt32.random(in: 0 ... .max), radix: 16))"
    let server = try USBIPServer(path, [.init(busID: "1-1", device: bench.device)])
    defer { server.stop() }
    let connection = try bench.open(on: USBIPBus(address: path))
    #expect(connection.identity.vendor == 0x300A && connection.identity.serial == "L1")
    for number in 0..<20 { try connection.write(Array("line \(number)\n".utf8)) }
    for number in 0..<20 {
      let line = try connection.line(within: Self.patience)
      #expect(line?.text == "=line \(number)")
      #expect(line.map { $0.arrival <= .now } == true)
    }
    connection.close()
  }

  @Test("Text cut anywhere gives the same lines", arguments: [SerialKind.cdcACM, .ftdi])
  func randomSplits(kind: SerialKind) throws {
    let seed = UInt64.random(in: 0 ... .max)
    var numbers = SeededNumbers(seed)
    let expected = (0..<40).map { n in String(repeating: "P", count: Int.random(in: 0...150, using: &numbers)) + "\(n)"
    }
    let text = Array(expected.map { $0 + "\n" }.joined().utf8)
    for _ in 0..<50 {
      var input = SerialInput(statusBytesInPacketsOf: kind == .ftdi ? 64 : nil)
      var rest = text[...]
      while !rest.isEmpty {
        // One transfer: full packets and a last one that is not.
        let count = min(rest.count, Int.random(in: 0...200, using: &numbers))
        let part = Array(rest.prefix(count))
        rest = rest.dropFirst(count)
        let transfer =
          kind == .cdcACM
          ? part
          : (part.isEmpty ? [[]] : stride(from: 0, to: count, by: 62).map { Array(part[$0..<min($0 + 62, count)]) })
            .flatMap { [0x01, 0x60] + $0 }
        input.take(.success(transfer), at: MonotonicTime(nanoseconds: 0))
      }
      var lines: [String] = []
      while case .line(let line)? = input.next(afterLines: false) { lines.append(line.text) }
      #expect(lines == expected, "seed \(seed)")
    }
  }

  @Test("FTDI: status bytes are taken out of every packet of a transfer, an overrun is told (usb-serial.md §4)")
  func ftdiVector() {
    // Packets A (empty), B (full) and C in one transfer of USB: A ends with its two bytes in a buffer of its own.
    let payload = (0..<62).map { UInt8(0x50 + $0 % 20) }
    let transfer = [0x01, 0x60] + payload + [0x01, 0x62, 0x0A]
    let stripped = FTDIStream.strip(transfer, packetSize: 64)
    #expect(stripped.payload == payload + [0x0A])
    #expect(stripped.parts.count { $0.error != nil } == 1)
    #expect(FTDIStream.strip([0x01, 0x60], packetSize: 64).payload == [])
    var input = SerialInput(statusBytesInPacketsOf: 64)
    input.take(.success(Array("\u{1}`ok\n".utf8)), at: MonotonicTime(nanoseconds: 5))
    input.take(.success(transfer), at: MonotonicTime(nanoseconds: 6))
    input.take(.success([0x01, 0x60, 0x41, 0x0A]), at: MonotonicTime(nanoseconds: 7))
    do {
      let item = input.next(afterLines: false)
      #expect(item == .line(.init(text: "ok", arrival: MonotonicTime(nanoseconds: 5))))
    }
    do {
      let item = input.next(afterLines: true)
      #expect(item == nil, "told after the lines before it")
    }
    guard case .loss(let reason)? = input.next(afterLines: false) else {
      Issue.record("no loss")
      return
    }
    #expect(reason.contains("overrun"))
    do {
      let item = input.next(afterLines: false)
      #expect(item == .line(.init(text: "A", arrival: MonotonicTime(nanoseconds: 7))))
    }
    #expect(input.losses == 1)
  }

  @Test(
    "FTDI: divisors are those of the sheet",
    arguments: [
      (9600, 0x4138), (38400, 0xC04E), (57600, 0xC034), (115_200, 0x001A), (230_400, 0x000D), (460_800, 0x4006),
      (921_600, 0x8003), (1_000_000, 0x0003), (2_000_000, 0x0001), (3_000_000, 0x0000),
    ])
  func divisors(baud: Int, divisor: Int) { #expect(FTDIStream.divisor(baud: baud) == UInt32(divisor)) }

  @Test("FTDI: fast chips count from 12 MHz, with bit 17")
  func fastDivisors() {
    #expect(FTDIStream.divisor(baud: 12_000_000, isHighSpeed: true) == 0x20000)
    #expect(FTDIStream.divisor(baud: 3_000_000, isHighSpeed: true) == 0x20004)
    #expect(FTDIStream.divisor(baud: 300, isHighSpeed: true) == FTDIStream.divisor(baud: 300))
  }

  @Test("CDC: the line coding is the seven bytes of the sheet; the requests come in order")
  func lineCoding() throws {
    let bench = LineBench(.cdcACM)
    let connection = try bench.open(baud: 921_600)
    #expect(bench.cdc?.lineCoding == [0x00, 0x10, 0x0E, 0x00, 0, 0, 8])
    connection.close()
    _ = try bench.open(baud: 230_400)
    #expect(bench.cdc?.lineCoding == [0x00, 0x84, 0x03, 0x00, 0, 0, 8])
  }

  @Test("CDC: a device that refuses all class requests works all the same")
  func withoutRequests() throws {
    let bench = LineBench(.cdcACM, strictness: .withoutRequests)
    let connection = try bench.open()
    try connection.write(Array("t\n".utf8))
    #expect(try connection.line(within: Self.patience)?.text == "=t")
  }

  @Test("A line is never opened at 1200 baud: that reboots microcontrollers", arguments: [SerialKind.cdcACM, .ftdi])
  func touchBaud(kind: SerialKind) throws {
    let bench = LineBench(kind)
    #expect {
      try bench.open(baud: 1200)
    } throws: { if case .unable? = $0 as? InstrumentError { true } else { false } }
    #expect(bench.bus.transferCount(of: bench.device) == 0)
    #expect(bench.cdc?.isInBootLoader != true)
  }

  @Test("FTDI: at the wrong speed nothing right arrives, at the right one everything does")
  func wrongSpeed() throws {
    let bench = LineBench(.ftdi)
    let wrong = try bench.open(baud: 115_200)
    try wrong.write(Array("t\n".utf8))
    #expect(try wrong.line(within: Seconds(0.02)) == nil)
    wrong.close()
    let right = try bench.open()
    bench.device.perform { bench.instrument.outgoing = Array("hello\n".utf8) }
    #expect(try right.line(within: Self.patience)?.text == "hello")
    #expect(bench.ftdi?.latency == Seconds(0.001) && bench.ftdi?.eventCharacter == 10)
  }

  @Test("A STALL of Bulk-IN is cleared, and listening goes on", arguments: [SerialKind.cdcACM, .ftdi])
  func stall(kind: SerialKind) throws {
    let bench = LineBench(kind)
    let connection = try bench.open()
    bench.device.inject(USBFault(endpoint: kind == .cdcACM ? 0x82 : 0x81, transfer: 3, kind: .stall))
    var answered = 0
    for number in 0..<12 {
      try connection.write(Array("\(number)\n".utf8))
      let line = try? connection.line(within: Seconds(1))
      if line?.text == "=\(number)" { answered += 1 }
    }
    #expect(answered >= 11)
  }

  @Test("A STALL of Bulk-OUT is told, cleared, and the next line goes out", arguments: [SerialKind.cdcACM, .ftdi])
  func stallOut(kind: SerialKind) throws {
    let bench = LineBench(kind)
    let connection = try bench.open()
    bench.device.inject(USBFault(endpoint: kind == .cdcACM ? 0x01 : 0x02, transfer: 1, kind: .stall))
    #expect(throws: InstrumentError.self) { try connection.write(Array("a\n".utf8)) }
    try connection.write(Array("b\n".utf8))
    #expect(try connection.line(within: Self.patience)?.text == "=b")
  }

  @Test(
    "Pulling the cable is told; after replugging the line can be opened again", arguments: [SerialKind.cdcACM, .ftdi])
  func unplug(kind: SerialKind) throws {
    let bench = LineBench(kind)
    let changes = Monitor<[USBChange]>([])
    bench.bus.watch { change in changes.update { $0.append(change) } }
    for round in 1...5 {
      let connection = try bench.open()
      bench.device.unplug()
      #expect {
        try connection.line(within: Self.patience)
      } throws: { ($0 as? InstrumentError)?.isGone ?? false }
      #expect(throws: InstrumentError.self) { try connection.write([10]) }
      #expect(bench.instrument.losses == round)
      #expect(throws: InstrumentError.self) { try bench.open() }
      _ = changes.wait(atMost: Self.patience) { $0.count == 2 * round - 1 ? true : nil }
      bench.device.plug()
      _ = changes.wait(atMost: Self.patience) { $0.count == 2 * round ? true : nil }
    }
    let told = changes.read { $0 }
    #expect(told.count == 10)
    for (number, change) in told.enumerated() {
      if case .left(let facts) = change { #expect(number % 2 == 0 && facts.serial == "L1") }
      if case .arrived(let facts) = change { #expect(number % 2 == 1 && facts.vendor == 0x300A) }
    }
  }

  @Test(
    "Every transfer of a session may fail: nothing hangs, and opening again works",
    arguments: [SerialKind.cdcACM, .ftdi])
  func anomalies(kind: SerialKind) throws {
    var cases = 0
    var slowest = Seconds(0)
    for fault: USBFault.Kind in [
      .stall, .timeOut, .short(1), .garbage(seed: 3), .unplug, .unplugAndReplug(after: Seconds(0.002)),
    ] {
      for transfer in 1...20 {
        let bench = LineBench(kind, patience: 0.02)
        bench.device.inject(USBFault(endpoint: nil, transfer: transfer, kind: fault))
        let began = MonotonicTime.now
        do {
          let connection = try bench.open()
          defer { connection.close() }
          for number in 0..<3 {
            try connection.write(Array("\(number)\n".utf8), within: Seconds(1))
            _ = try connection.line(within: Seconds(0.02))
          }
        } catch {}
        slowest = max(slowest, .now - began)
        bench.device.forgetFaults()
        for _ in 0..<1000 where !bench.device.isPlugged {
          if fault == .unplug { bench.device.plug() } else { sleepThread(for: Seconds(0.001)) }
        }
        // What a reset of the instrument's own parser is to a message instrument, an empty line is here.
        let again = try bench.open()
        try again.write(Array("\nagain\n".utf8))
        var isAnswered = false
        for _ in 0..<20 where !isAnswered {
          isAnswered = ((try? again.line(within: Seconds(0.5))) ?? nil)?.text == "=again"
        }
        #expect(isAnswered, "\(fault) at transfer \(transfer)")
        cases += 1
      }
    }
    print("serial line (\(kind)): \(cases) cases, the slowest took \(slowest.value) s")
    #expect(slowest < Seconds(3))
  }

  @Test("Lines nobody reads, and lines that never end, are bounded, counted and told")
  func bounds() {
    var input = SerialInput()
    let now = MonotonicTime(nanoseconds: 0)
    for _ in 0..<100 { input.take(.success([UInt8](repeating: 65, count: 5000)), at: now) }
    input.take(.success([10, 66, 10]), at: now)
    guard case .loss(let reason)? = input.next(afterLines: false) else {
      Issue.record("no loss")
      return
    }
    #expect(reason.contains("longer than 1000 bytes"))
    do {
      let item = input.next(afterLines: false)
      #expect(item == .line(.init(text: "B", arrival: now)))
    }
    let line = [UInt8](repeating: 67, count: 999) + [10]
    for _ in 0..<1000 { input.take(.success(line), at: now) }
    var lines = 0
    var losses = 0
    while let item = input.next(afterLines: false) { if case .line = item { lines += 1 } else { losses += 1 } }
    #expect(lines == SerialInput.mostBytes / 1000 && losses == 1)
    #expect(input.losses == 1 + 1000 - lines)
    input.take(.success([68, 10, 69]), at: now)
    input.discard()
    input.take(.success([70, 10]), at: now)
    do {
      let item = input.next(afterLines: false)
      #expect(item == .line(.init(text: "F", arrival: now)))
    }
  }

  @Test("Notifications of the line's state are put together from pieces; an overrun among them is told")
  func serialState() {
    let overrun: [UInt8] = [0xA1, 0x20, 0, 0, 0, 0, 2, 0, 0x43, 0]
    for piece in 1...10 {
      var notifications = SerialStateNotifications()
      var told = 0
      let all: [UInt8] = [0xA1, 0x20, 0, 0, 0, 0, 2, 0, 3, 0] + overrun
      for start in stride(from: 0, to: all.count, by: piece) {
        if notifications.take(Array(all[start..<min(start + piece, all.count)])) { told += 1 }
      }
      #expect(told == 1, "pieces of \(piece)")
    }
    var garbage = SerialStateNotifications()
    let isTold = [garbage.take([UInt8](repeating: 0xFF, count: 100)), garbage.take(overrun)]
    #expect(isTold == [false, true])
  }

  @Test("An overrun that the instrument notifies reaches the reader")
  func overrunNotified() throws {
    let bench = LineBench(.cdcACM)
    let connection = try bench.open()
    bench.device.perform { bench.cdc?.notify(.overrun) }
    for _ in 0..<5000 where connection.losses == 0 { sleepThread(for: Seconds(0.001)) }
    bench.device.perform { bench.instrument.outgoing = Array("half\nwhole\n".utf8) }
    #expect {
      while try connection.line(within: Self.patience) != nil {}
    } throws: { "\($0)".contains("overrun") }
    #expect(try connection.line(within: Self.patience)?.text == "whole")
  }
}
