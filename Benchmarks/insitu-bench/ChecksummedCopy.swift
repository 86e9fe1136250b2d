import Linux

/// Copies `source` to `destination` and gives the CRC-32C of the copy: a yardstick of `PixelMeter`.
///
/// In pieces that stay in the processor's cache, so that the memory is read once and not twice.
func copyWithChecksum(_ source: UnsafeRawBufferPointer, to destination: UnsafeMutableRawBufferPointer) -> UInt32 {
  let piece = 32768
  var crc: UInt32 = 0
  var done = 0
  while done < source.count {
    let end = min(done + piece, source.count)
    let part = unsafe UnsafeMutableRawBufferPointer(rebasing: destination[done..<end])
    unsafe part.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[done..<end]))
    crc = unsafe crc32c(UnsafeRawBufferPointer(part), continuing: crc)
    done = end
  }
  return crc
}
