import CLinux
import Linux
import Testing

@Suite struct CRC32CTests {
  private func checksum(_ bytes: [UInt8], continuing crc: UInt32 = 0) -> UInt32 {
    bytes.withUnsafeBytes { crc32c($0, continuing: crc) }
  }

  @Test("The check value of the catalogue comes out")
  func checkValue() {
    #expect(checksum(Array("123456789".utf8)) == 0xE306_9283)
    #expect(checksum([]) == 0)
  }

  @Test("The test vectors of RFC 3720, B.4")
  func standard() {
    #expect(checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(checksum([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
    #expect(checksum(Array(0..<32)) == 0x46DD_794E)
  }

  @Test("Parts at any offset give what the whole gives")
  func continued() {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    let whole = checksum(bytes)
    for cut in [0, 1, 7, 8, 9, 500, 999, 1000] {
      #expect(checksum(Array(bytes[cut...]), continuing: checksum(Array(bytes[..<cut]))) == whole)
    }
  }

  /// The definition, bit by bit.
  private func byDefinition(_ bytes: ArraySlice<UInt8>, from start: UInt32 = ~0) -> UInt32 {
    ~bytes.reduce(start) { crc, byte in
      (0..<8).reduce(crc ^ UInt32(byte)) { c, _ in c & 1 == 1 ? (c >> 1) ^ 0x82F6_3B78 : c >> 1 }
    }
  }

  @Test("Every length around the lanes' gives what the definition gives, from every alignment")
  func lanes() {
    let bytes = (0..<26_000).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 13) }
    // Three lanes of 256 and of 4096 bytes, one byte more and less, both after each other, and twice the large.
    for count in [767, 768, 769, 1536, 12_287, 12_288, 12_289, 12_288 + 768 + 9, 24_576 + 775] {
      for start in 0..<8 {
        let part = bytes[start..<start + count]
        #expect(checksum(Array(part)) == byDefinition(part), "\(count) bytes")
        let misaligned = bytes.withUnsafeBytes { crc32c(UnsafeRawBufferPointer(rebasing: $0[start..<start + count])) }
        #expect(misaligned == byDefinition(part), "\(count) bytes from \(start)")
      }
    }
  }

  @Test("Each form that this processor can gives what the definition gives, at every length around its blocks")
  func forms() {
    let bytes = (0..<26_000).map { UInt8(truncatingIfNeeded: ($0 &* 2_246_822_519) >> 11) }
    let forms = [CLINUX_CRC_TABLE, CLINUX_CRC_LANES, CLINUX_CRC_FOLDING]
    for form in forms where form.rawValue <= clinux_crc_form().rawValue {
      // Folding from 512 bytes on, 256 at a time; lanes of 256 and 4096 bytes.
      for count in Array(505..<520) + [767, 768, 769, 1023, 1024, 1025, 12_287, 12_288, 12_289, 24_576 + 775] {
        for start in [0, 1, 7] {
          let part = bytes[start..<start + count]
          let found = bytes.withUnsafeBytes { clinux_crc32c_by(form, 0xDEAD_BEEF, $0.baseAddress! + start, count) }
          let expected = byDefinition(part, from: ~0xDEAD_BEEF)
          #expect(found == expected, "form \(form.rawValue), \(count) bytes from \(start)")
        }
      }
    }
  }
}
