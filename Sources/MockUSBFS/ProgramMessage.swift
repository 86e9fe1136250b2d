/// The messages between the preloaded library and a mock: three native words each way (usb-emulation.md §A.1).
struct ProgramMessage {
  static let bytes = 24
  /// As a result: the mock does not handle this call; the program makes it on the real file.
  static let notHandled = -100

  enum Kind: UInt64 {
    case ioctl = 1
    case read = 7
    case write = 8
  }

  /// Nil for one that is not known.
  let kind: Kind?
  /// The request of an ioctl, or the address of a buffer.
  let first: UInt64
  /// The argument of an ioctl, or the size of a buffer.
  let second: UInt64

  init(_ bytes: [UInt8]) {
    kind = Kind(rawValue: Self.word(bytes, 0))
    first = Self.word(bytes, 8)
    second = Self.word(bytes, 16)
  }

  /// The call is over.
  static func done(_ result: Int, _ error: Int32) -> [UInt8] {
    words(3, UInt64(bitPattern: Int64(result)), UInt64(UInt32(bitPattern: error)))
  }

  /// Asks for the program's memory, which comes without a header.
  static func read(_ address: UInt64, _ count: Int) -> [UInt8] { words(5, address, UInt64(count)) }

  /// Puts bytes into the program's memory; nothing comes back.
  static func write(_ bytes: [UInt8], to address: UInt64) -> [UInt8] { words(6, address, UInt64(bytes.count)) + bytes }

  private static func words(_ words: UInt64...) -> [UInt8] { words.flatMap(nativeBytes) }

  private static func word(_ bytes: [UInt8], _ at: Int) -> UInt64 {
    (0..<8).reduce(0) { $0 | UInt64(bytes[at + $1]) << (8 * UInt64($1)) }
  }
}

/// The bytes of a number as a little-endian machine has them in memory, which all machines of this program are.
func nativeBytes(_ number: some FixedWidthInteger) -> [UInt8] {
  (0..<type(of: number).bitWidth / 8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
}
