/// The header's fields that describe a picture; readers of PSI's "array-1.0" find theirs among them.
package struct StreamPicture: Equatable, Sendable {
  /// numpy's name of the pixel type: "<u2", "|u1", "<u4".
  package var dtype: String
  package var height: Int
  package var width: Int
  /// The camera's own number of the series and of the frame in it.
  package var series: UInt64
  package var frame: UInt64
  package var exposureNanoseconds: Int64
  /// Index of the step in the expanded protocol.
  package var step: UInt32?
  /// How the pixels are packed: "" for not at all.
  package var encoding: String
  /// The latest voltage and current and the charge so far, as known when the frame was published; the run's
  /// `frame_value` table has the aligned ones.
  package var voltage_V: Double?
  package var current_A: Double?
  package var charge_C: Double?

  package init(
    dtype: String, height: Int, width: Int, series: UInt64, frame: UInt64, exposureNanoseconds: Int64,
    step: UInt32? = nil, encoding: String = "", voltage_V: Double? = nil, current_A: Double? = nil,
    charge_C: Double? = nil
  ) {
    self.dtype = dtype
    self.height = height
    self.width = width
    self.series = series
    self.frame = frame
    self.exposureNanoseconds = exposureNanoseconds
    self.step = step
    self.encoding = encoding
    self.voltage_V = voltage_V
    self.current_A = current_A
    self.charge_C = charge_C
  }

  /// The raw part that holds the pixels.
  package var part: StreamPart { StreamPart(name: "pixels", dtype: dtype, shape: [height, width], unit: "count") }

  func write(to line: inout JSONLine) {
    line.member("htype", "array-1.0")
    line.member("type", Self.arrayTypes[dtype] ?? dtype)
    line.member("shape", [height, width])
    line.member("frame", frame)
    line.member("series", series)
    line.member("endianness", "little")
    line.member("encoding", encoding)
    line.member("exposure_ns", exposureNanoseconds)
    line.member("step", step.map(Int64.init))
    line.member("v_V", voltage_V)
    line.member("i_A", current_A)
    line.member("charge_C", charge_C)
  }

  private static let arrayTypes = ["|u1": "uint8", "<u2": "uint16", "<u4": "uint32"]
}

/// Where the pixels of a frame lie, for `ref/`.
package struct StreamReference: Equatable, Sendable {
  /// Absolute path of the segment.
  package var file: String
  /// First byte of the pixels, and their length.
  package var offset: Int64
  package var byteCount: Int64
  /// How they are compressed: "bslz4", "bszstd", "bsgaps"; nil: they are as they came.
  package var encoding: String?

  package init(file: String, offset: Int64, byteCount: Int64, encoding: String? = nil) {
    self.encoding = encoding
    self.file = file
    self.offset = offset
    self.byteCount = byteCount
  }

  func write(to line: inout JSONLine) {
    line.member("file", file)
    line.member("offset", offset)
    line.member("nbytes", byteCount)
    if let encoding { line.member("encoding", encoding) }
  }
}
