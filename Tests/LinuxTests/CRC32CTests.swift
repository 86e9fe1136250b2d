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
}
