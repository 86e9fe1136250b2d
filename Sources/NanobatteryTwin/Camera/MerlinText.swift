internal import FrameRing
internal import Linux
import Pixels

/// Messages of the Merlin's ports (camera-streams.md §3).
enum MerlinText {
  /// What the camera's clock shows as a date when it reads 0: 2026-01-01T00:00:00Z, in seconds since 1970.
  static let epoch: Int64 = 1_767_225_600

  static func prefix(_ payload: Int) -> [UInt8] { Array("MPX,\(padded(payload + 1, 10)),".utf8) }
  static func message(_ payload: [UInt8]) -> [UInt8] { prefix(payload.count) + payload }

  static func acquisitionHeader(_ running: MerlinEngine.Acquisition, _ camera: TwinCameraSettings) -> [UInt8] {
    let lines = [
      "HDR,\t", "Time and Date Stamp (day, mnth, yr, hr, min, s):\t01/01/2026 00:00:00",
      "Chip ID:\t\(camera.serial),-,-,-",
      "Assembly Size (NX1, 2X2):\t\(layout(camera.width, camera.height).name)",
      "Counter Depth (number):\t\(running.depth)", "Active Counters:\tAlternating",
      "Frames in Acquisition (Number):\t\(running.frames)", "Frames per Trigger (Number):\t1",
      "Readout System:\tMerlin Twin", "Software Version:\t\(MerlinSender.softwareVersion)",
    ]
    var bytes = Array((lines.joined(separator: "\r\n") + "\r\nEnd\t").utf8)
    bytes += [UInt8](repeating: 32, count: max(0, 2048 - bytes.count))
    return bytes
  }

  /// A header of 384 bytes for one chip, 768 for four.
  static func frameHeader(
    _ frame: FrameHeader, _ running: MerlinEngine.Acquisition, _ type: PixelType
  ) -> [UInt8] {
    let layout = layout(frame.width, frame.height)
    let offset = layout.chips == 1 ? 384 : 768
    let name = running.isRaw ? "R64" : type == .u8 ? "U08" : type == .u16 ? "U16" : "U32"
    let stamp = utc(frame.deviceNanoseconds)
    let shutter = frame.exposureNanoseconds
    let seconds = "\(shutter / 1_000_000_000).\(padded(Int(shutter % 1_000_000_000 / 1000), 6))"
    let dac = ",3RX,175" + String(repeating: ",511", count: 26)
    let text =
      "MQ1,\(padded(Int(frame.frameNumber) + 1, 6)),\(padded(offset, 5)),\(padded(layout.chips, 2))"
      + ",\(padded(frame.width, 4)),\(padded(frame.height, 4)),\(name),\(layout.name),\(layout.chips == 1 ? "01" : "0F")"
      + ",\(stamp.local),\(seconds),0,0,0,1.200000E+2,5.110000E+2"
      + String(repeating: ",0.000000E+0", count: 6) + String(repeating: dac, count: layout.chips)
      + ",MQ1A,\(stamp.utc),\(shutter)ns,\(running.depth),"
    return Array(text.utf8) + [UInt8](repeating: 32, count: max(0, offset - text.utf8.count))
  }

  /// Four chips when it is large enough for them; 514 pixels have the gap between them filled.
  private static func layout(_ width: Int, _ height: Int) -> (name: String, chips: Int) {
    if width == 514, height == 514 { return ("  2x2G", 4) }
    if width >= 512, height >= 512 { return ("   2x2", 4) }
    return ("   1x1", 1)
  }

  /// Appends pixels big-endian and gives the CRC-32C of their little-endian form.
  static func appendPixels(
    _ pixels: UnsafeRawBufferPointer, as type: PixelType, to message: inout [UInt8]
  ) -> UInt32 {
    let count = pixels.count / 2
    let start = message.count
    let size = type.bytesPerPixel
    message += repeatElement(0, count: count * size)
    var native = [UInt8](repeating: 0, count: count * size)
    unsafe message.withUnsafeMutableBytes { out in
      unsafe native.withUnsafeMutableBytes { little in
        for index in 0..<count {
          let value = unsafe pixels.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
          let at = index * size
          switch type {
          case .u8:
            let byte = UInt8(clamping: value)
            unsafe out[start + at] = byte
            unsafe little[at] = byte
          case .u16:
            unsafe out.storeBytes(of: value.bigEndian, toByteOffset: start + at, as: UInt16.self)
            unsafe little.storeBytes(of: value, toByteOffset: at, as: UInt16.self)
          case .u32:
            unsafe out.storeBytes(of: UInt32(value).bigEndian, toByteOffset: start + at, as: UInt32.self)
            unsafe little.storeBytes(of: UInt32(value), toByteOffset: at, as: UInt32.self)
          }
        }
      }
    }
    return unsafe native.withUnsafeBytes { unsafe crc32c($0) }
  }

  static func padded(_ value: Int, _ digits: Int) -> String {
    let text = "\(value)"
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  /// The camera's clock as a date, and as the local time of a computer two hours ahead.
  private static func utc(_ device: Int64) -> (utc: String, local: String) {
    let rest = padded(Int(device % 1_000_000_000), 9)
    let seconds = epoch + device / 1_000_000_000
    let ahead = date(seconds + 7200)
    let here = date(seconds)
    return ("\(here.day)T\(here.time).\(rest)Z", "\(ahead.day) \(ahead.time).\(rest.prefix(6))")
  }

  private static func date(_ seconds: Int64) -> (day: String, time: String) {
    let ofDay = Int(seconds % 86400)
    let time = "\(padded(ofDay / 3600, 2)):\(padded(ofDay / 60 % 60, 2)):\(padded(ofDay % 60, 2))"
    // Counted from March, so that a leap day is the last of its year; eras of 400 years.
    let days = Int(seconds / 86400) + 719_468
    let era = days / 146_097
    let ofEra = days % 146_097
    let yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
    let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * ofYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    return ("\(year)-\(padded(month, 2))-\(padded(ofYear - (153 * shifted + 2) / 5 + 1, 2))", time)
  }
}
