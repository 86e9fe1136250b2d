import FrameRing
import Pixels

/// Bytes written as hexadecimal; blanks do not count.
func bytes(hex: String) -> [UInt8] {
  let digits = hex.filter { !$0.isWhitespace }.map { UInt8($0.hexDigitValue!) }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

func littleEndian(_ values: [some FixedWidthInteger]) -> [UInt8] {
  values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
}

/// One LZ4 block of literals only: a token with 15, the rest of the length in steps of 255, the bytes.
func literalLZ4(_ bytes: [UInt8]) -> [UInt8] {
  guard bytes.count >= 15 else { return [UInt8(bytes.count << 4)] + bytes }
  var rest = bytes.count - 15
  var head: [UInt8] = [0xF0]
  while rest >= 255 {
    head.append(255)
    rest -= 255
  }
  return head + [UInt8(rest)] + bytes
}

/// Bit planes by the definition (camera-streams.md §1.2), one bit at a time.
func bitShuffled(_ bytes: [UInt8], elementBytes: Int) -> [UInt8] {
  let elements = bytes.count / elementBytes
  var planes = [UInt8](repeating: 0, count: bytes.count)
  for element in 0..<elements {
    for bit in 0..<8 * elementBytes where bytes[element * elementBytes + bit / 8] >> (bit % 8) & 1 == 1 {
      planes[bit * (elements / 8) + element / 8] |= 1 << (element % 8)
    }
  }
  return planes
}

/// The framing of §1.2 around bit-shuffled blocks.
func framedBitShuffleLZ4(_ bytes: [UInt8], elementBytes: Int, blockBytes: Int = 8192) -> [UInt8] {
  var out = bigEndian(UInt64(bytes.count)) + bigEndian(UInt32(blockBytes))
  let shuffled = bytes.count / (8 * elementBytes) * (8 * elementBytes)
  for start in stride(from: 0, to: shuffled, by: blockBytes) {
    let block = literalLZ4(
      bitShuffled(Array(bytes[start..<min(start + blockBytes, shuffled)]), elementBytes: elementBytes))
    out += bigEndian(UInt32(block.count)) + block
  }
  return out + bytes[shuffled...]
}

extension FrameRing {
  /// Every frame in the ring has the statistics that its pixels bear out, and there is one at least.
  var statisticsHold: Bool {
    published > 0
      && (max(published, UInt64(slotCount)) - UInt64(slotCount)..<published).allSatisfy { sequence in
        read(sequence) { header, bytes in
          guard let found = header.statistics else { return false }
          let size = header.pixelType.bytesPerPixel
          let pixels = stride(from: 0, to: bytes.count, by: size).map { at in
            (0..<size).reduce(UInt64(0)) { $0 | UInt64(bytes[at + $1]) << UInt64(8 * $1) }
          }
          return found.sum == pixels.reduce(0, +) && UInt64(found.minimum) == pixels.min()
            && UInt64(found.maximum) == pixels.max() && !pixels.isEmpty
        } == true
      }
  }
}
