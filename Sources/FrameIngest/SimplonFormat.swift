/// The two versions of the SIMPLON stream.
package enum SimplonFormat: String, Sendable {
  /// Version 1; the detector's word for it.
  case legacy
  /// Version 2.
  case cbor

  /// The name of the camera's model in the configuration.
  var model: String { self == .legacy ? "simplon" : "simplon2" }

  /// Where the detector control unit binds its PUSH socket (camera-streams.md §1, §2).
  var port: Int { self == .legacy ? 9999 : 31001 }

  var clock: String {
    switch self {
    case .legacy: "start of exposure, ns since the detector's own zero of the series; anew in each series"
    case .cbor: "start of exposure, ns since the detector's series_date; anew in each series"
    }
  }
}

/// Which channel of a series is recorded, and what became of the others.
struct SimplonChannels {
  /// From the configuration; nil: the first.
  var configured: [UInt8]?
  /// The first that the series' own start message names.
  private var first: [UInt8]?
  private var passedOver: UInt64 = 0

  /// The channel to be taken; nil: the first of the message.
  var wanted: [UInt8]? { configured ?? first }

  mutating func beginSeries(first: [UInt8]? = nil) {
    self.first = first
    passedOver = 0
  }

  /// Counts images of other channels. True at the first of a series.
  mutating func pass(over images: Int) -> Bool {
    defer { passedOver &+= UInt64(images) }
    return images > 0 && passedOver == 0
  }

  /// How many images were passed over since it was asked last, in words; nil when none were.
  mutating func account() -> CameraEvent? {
    guard passedOver > 0 else { return nil }
    defer { passedOver = 0 }
    return .ignored(cause: "\(passedOver) images of other channels")
  }
}
