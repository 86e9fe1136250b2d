package import Quantities

/// Cuts what a serial line brings into lines, and keeps them until somebody takes them.
///
/// Bounded: a line beyond `longestLine` and lines beyond `mostBytes` are dropped, counted, and told to the reader where
/// they would have stood.
package struct SerialInput: Sendable {
  package struct Line: Hashable, Sendable {
    package var text: String
    package var arrival: MonotonicTime

    package init(text: String, arrival: MonotonicTime) {
      self.text = text
      self.arrival = arrival
    }
  }

  package enum Item: Equatable, Sendable {
    case line(Line)
    /// Something is missing here; the text says what.
    case loss(String)
    /// The stream has ended: nothing more comes.
    case ended(USBError)
  }

  package static let longestLine = 1000
  /// Lines that wait for a reader.
  package static let mostBytes = 1 << 18

  /// Of FTDI chips: each packet begins with two status bytes.
  private let packetSize: Int?
  private var items: [Item] = []
  private var head = 0
  private var waitingBytes = 0
  private var partial: [UInt8] = []
  /// Why the line that is coming in is of no use; it is dropped up to its line feed.
  private var damage: String?
  private var end: USBError?
  /// Lines and bytes lost, for the record.
  package private(set) var losses = 0

  /// - Parameter statusBytesInPacketsOf: the packet size of an FTDI chip; nil for a plain stream.
  package init(statusBytesInPacketsOf packetSize: Int? = nil) { self.packetSize = packetSize }

  /// What one IN transfer brought.
  package mutating func take(_ result: Result<[UInt8], USBError>, at arrival: MonotonicTime) {
    switch result {
    case .success(let bytes):
      guard let packetSize else { return append(bytes, at: arrival) }
      let content = FTDIStream.strip(bytes, packetSize: packetSize)
      for part in content.parts {
        if let error = part.error { lose(error) }
        append(part.payload, at: arrival)
      }
    case .failure(.timedOut): break
    case .failure(let error): end = end ?? error
    }
  }

  private mutating func append(_ bytes: [UInt8], at arrival: MonotonicTime) {
    for byte in bytes {
      switch byte {
      case 0x0A: endLine(at: arrival)
      case 0x0D, 0x11, 0x13: break  // CR, XON, XOFF: never part of a line (usb-serial.md §2)
      default:
        guard partial.count < Self.longestLine else {
          if damage == nil { lose("a line longer than \(Self.longestLine) bytes, which nothing here sends") }
          continue
        }
        partial.append(byte)
      }
    }
  }

  private mutating func endLine(at arrival: MonotonicTime) {
    defer {
      partial = []
      damage = nil
    }
    if let damage { return add(.loss(damage + "; the line it hit began “\(beginning)”"), bytes: 0) }
    guard waitingBytes + partial.count <= Self.mostBytes else {
      losses += 1
      // Told once for a run of lines.
      if case .loss? = items.last { return }
      return add(
        .loss("lines came faster than they were read; those beyond \(Self.mostBytes) bytes are lost"), bytes: 0)
    }
    add(.line(Line(text: String(decoding: partial, as: UTF8.self), arrival: arrival)), bytes: partial.count + 1)
  }

  private var beginning: String { String(decoding: partial.prefix(40), as: UTF8.self) }

  /// The line that is coming in has a hole.
  package mutating func lose(_ reason: String) {
    losses += 1
    damage = damage ?? reason
  }

  private mutating func add(_ item: Item, bytes: Int) {
    items.append(item)
    waitingBytes += bytes
  }

  /// The next line, loss or end; nil while there is none.
  /// - Parameter afterLines: a loss is left for the next call, so that the lines before it are not lost with it.
  package mutating func next(afterLines: Bool) -> Item? {
    guard head < items.count else { return end.map { .ended($0) } }
    let item = items[head]
    if case .loss = item, afterLines { return nil }
    head += 1
    if case .line(let line) = item { waitingBytes -= line.text.utf8.count + 1 }
    if head == items.count || head > 1024 {
      items.removeFirst(head)
      head = 0
    }
    return item
  }

  /// Forgets all that has not been taken.
  package mutating func discard() {
    items = []
    head = 0
    waitingBytes = 0
    partial = []
    damage = nil
  }

  /// Listening goes on after an end that was mended; a line may have a hole there.
  package mutating func resume() {
    end = nil
    if !partial.isEmpty { lose("the input stopped within a line") }
  }
}
