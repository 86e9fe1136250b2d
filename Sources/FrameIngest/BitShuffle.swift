/// Undoes the bit shuffle of a block (camera-streams.md §1.2).
///
/// Shuffled, n elements of e bytes are 8·e bit planes of n/8 bytes; plane p = byte·8 + bit, least significant first,
/// and bit i of a plane belongs to element i.
/// - Parameters:
///   - planes: n·e bytes.
///   - elements: n, a multiple of 8.
///   - destination: n·e bytes that do not overlap `planes`.
func unshuffleBits(
  _ planes: UnsafeRawPointer, elements: Int, elementBytes: Int, into destination: UnsafeMutableRawPointer
) {
  precondition(elements % 8 == 0, "a bit-shuffled block holds a multiple of 8 elements")
  if elementBytes == 2 {
    unsafe unshuffleBits16(planes, planeBytes: elements / 8, into: destination)
    return
  }
  let planeBytes = elements / 8
  for byte in 0..<elementBytes {
    for group in 0..<planeBytes {
      var octets = unsafe eightElements(planes + 8 * byte * planeBytes + group, planeBytes)
      for element in 0..<8 {
        let offset = (group * 8 + element) * elementBytes + byte
        unsafe destination.storeBytes(of: UInt8(truncatingIfNeeded: octets), toByteOffset: offset, as: UInt8.self)
        octets >>= 8
      }
    }
  }
}

/// 16-bit pixels are what cameras send: eight at a time, written as two words.
private func unshuffleBits16(
  _ planes: UnsafeRawPointer, planeBytes: Int, into destination: UnsafeMutableRawPointer
) {
  for group in 0..<planeBytes {
    let low = unsafe eightElements(planes + group, planeBytes)
    let high = unsafe eightElements(planes + 8 * planeBytes + group, planeBytes)
    let first = spread(low & 0xFFFF_FFFF) | spread(high & 0xFFFF_FFFF) << 8
    let second = spread(low >> 32) | spread(high >> 32) << 8
    unsafe destination.storeBytes(of: first.littleEndian, toByteOffset: group * 16, as: UInt64.self)
    unsafe destination.storeBytes(of: second.littleEndian, toByteOffset: group * 16 + 8, as: UInt64.self)
  }
}

/// One byte of each of eight elements: the same byte of eight planes, transposed as an 8 × 8 matrix of bits.
@inline(__always)
private func eightElements(_ plane: UnsafeRawPointer, _ planeBytes: Int) -> UInt64 {
  var x: UInt64 = 0
  for bit in 0..<8 {
    x |= unsafe UInt64(plane.load(fromByteOffset: bit * planeBytes, as: UInt8.self)) << UInt64(8 * bit)
  }
  return transposed(x)
}

/// Bit 8·r + c goes to 8·c + r: swaps of 1 × 1, 2 × 2 and 4 × 4 squares (Warren, Hacker's Delight, §7-3).
@inline(__always)
private func transposed(_ matrix: UInt64) -> UInt64 {
  var x = matrix
  var t = (x ^ (x >> 7)) & 0x00AA_00AA_00AA_00AA
  x ^= t ^ (t << 7)
  t = (x ^ (x >> 14)) & 0x0000_CCCC_0000_CCCC
  x ^= t ^ (t << 14)
  t = (x ^ (x >> 28)) & 0x0000_0000_F0F0_F0F0
  return x ^ t ^ (t << 28)
}

/// The four low bytes at every second place.
@inline(__always)
private func spread(_ bytes: UInt64) -> UInt64 {
  let x = (bytes | bytes << 16) & 0x0000_FFFF_0000_FFFF
  return (x | x << 8) & 0x00FF_00FF_00FF_00FF
}
