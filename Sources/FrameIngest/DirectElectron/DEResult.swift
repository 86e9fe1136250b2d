import DEMessaging

/// GET_RESULT: one picture, and with it what the server makes of the dose (camera-streams.md §4).
struct DEResult: Equatable {
  enum FrameType: Int32 {
    case integrated = 7
    case counted = 8
    case sumTotal = 10
  }

  static let mostPixelBytes = 1 << 30
  private static let histogramBins: Int32 = 256

  var pixels: DEPixels
  var width: Int
  var height: Int
  /// Electrons by the server's own reckoning.
  var readings: [CameraReading]

  var pixelBytes: Int { width * height * pixels.bytes }

  /// The parameters for the whole picture as it is, unsigned 16 bit, as the command version has them.
  static func parameters(_ type: FrameType, version: UInt32, timeoutMilliseconds: Int32) -> [DEValue] {
    // Frame type, pixel format, centre, zoom, window (0: all), no Fourier transform.
    var values: [DEValue] = [
      .integer(type.rawValue), .integer(Int32(DEPixels.u16.rawValue)), .integer(0), .integer(0), .float(1),
      .integer(0), .integer(0), .boolean(false),
    ]
    // No contrast stretch, and how many outliers it would leave out, in per cent.
    values += version >= 10 ? [.integer(0), .float(0), .float(0), .float(1)] : [.boolean(false)]
    values.append(.float(2))
    if version > 2 && version < 10 { values.append(.boolean(false)) }
    if version > 3 { values.append(.integer(timeoutMilliseconds)) }
    values += [.float(0), .float(0), .integer(histogramBins)]
    // Binning of the picture: none, by averaging.
    if version >= 15 { values += [.integer(1), .integer(1), .integer(1)] }
    return values
  }

  /// Position in the answer, name and unit. What follows differs from version to version, and is not used.
  private static let doses: [(position: Int, quantity: String, unit: String)] = [
    (12, "electrons per pixel", "e-/px"), (13, "electron rate", "e-/s"),
    (14, "electron rate per pixel", "e-/px/s"), (15, "electrons per area", "e-/A^2"),
    (16, "electrons per pixel and frame", "e-/px/frame"),
  ]
  private static let incident: [(position: Int, quantity: String, unit: String)] = doses.map {
    ($0.position + 5, "incident \($0.quantity)", $0.unit)
  }

  init(_ values: [DEValue], version: UInt32) throws(DecodeError) {
    guard values.count > 16, let format = values[0].integer, let pixels = DEPixels(rawValue: format),
      let width = values[1].integer, let height = values[2].integer, 1...DEMovieLayout.mostSide ~= width,
      1...DEMovieLayout.mostSide ~= height
    else { throw DecodeError("not the description of a picture") }
    (self.pixels, self.width, self.height) = (pixels, width, height)
    readings = (version >= 12 ? Self.doses + Self.incident : Self.doses).compactMap { dose in
      guard dose.position < values.count, let value = values[dose.position].number else { return nil }
      return CameraReading(dose.quantity, value, dose.unit)
    }
  }
}
