/// How a pixel is stored: unsigned, little-endian.
package enum PixelType: UInt32, Sendable {
  case u8 = 1
  case u16 = 2
  case u32 = 4

  package var bytesPerPixel: Int { Int(rawValue) }

  package var largestValue: UInt32 {
    switch self {
    case .u8: UInt32(UInt8.max)
    case .u16: UInt32(UInt16.max)
    case .u32: .max
    }
  }

  /// numpy's name with explicit byte order: "|u1", "<u2", "<u4".
  package var numpyName: String {
    switch self {
    case .u8: "|u1"
    case .u16: "<u2"
    case .u32: "<u4"
    }
  }

  package init?(numpyName: String) {
    switch numpyName {
    case "|u1", "<u1", "u1": self = .u8
    case "<u2": self = .u16
    case "<u4": self = .u32
    default: return nil
    }
  }
}
