import CLinux

/// CRC-32C (Castagnoli) of some bytes, continued from `crc`; "123456789" gives 0xE3069283.
package func crc32c(_ bytes: UnsafeRawBufferPointer, continuing crc: UInt32 = 0) -> UInt32 {
  unsafe clinux_crc32c(crc, bytes.baseAddress, bytes.count)
}
