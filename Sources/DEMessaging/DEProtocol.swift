/// The commands that are used here, by their numbers (camera-streams.md §4).
package enum DECommandNumber: UInt32, Sendable {
  case listCameras = 0
  case listProperties = 1
  case listAllowedValues = 2
  case getProperty = 3
  case setProperty = 4
  case stopAcquisition = 11
  case getResult = 14
  case startAcquisition = 15
  case getMovieBufferInfo = 18
  case getMovieBuffer = 19
  case setClientReadOnly = 31
  case getClientReadOnly = 43

  package func id(version: UInt32) -> UInt32 { version * 100 + rawValue }

  /// As the protocol's programs call it.
  package var name: String {
    switch self {
    case .listCameras: "LIST_CAMERAS"
    case .listProperties: "LIST_PROPERTIES"
    case .listAllowedValues: "LIST_ALLOWED_VALUES"
    case .getProperty: "GET_PROPERTY"
    case .setProperty: "SET_PROPERTY"
    case .stopAcquisition: "STOP_ACQUISITION"
    case .getResult: "GET_RESULT"
    case .startAcquisition: "START_ACQUISITION"
    case .getMovieBufferInfo: "GET_MOVIE_BUFFER_INFO"
    case .getMovieBuffer: "GET_MOVIE_BUFFER"
    case .setClientReadOnly: "SET_CLIENT_READ_ONLY"
    case .getClientReadOnly: "GET_CLIENT_READ_ONLY"
    }
  }
}

/// Pixels as numbers of the protocol name them.
package enum DEPixels: Int, Sendable {
  case u8 = 1
  case u16 = 5
  case i16 = 7
  case f32 = 13

  package var bytes: Int {
    switch self {
    case .u8: 1
    case .u16, .i16: 2
    case .f32: 4
    }
  }
}

/// What became of a GET_MOVIE_BUFFER.
package enum DEMovieStatus: Int, Sendable {
  case failed = 1
  case timeout = 3
  /// The acquisition is over and all its buffers have been fetched.
  case finished = 4
  case ok = 5
}

/// A version of the DE-Server's software, "2.7.4.10590", and the command version that belongs to it.
package struct DEServerVersion: Equatable, Sendable {
  /// Newest first: camera-streams.md §4 has 12, 11, 10, 4 and 3; the others are those that the public client
  /// `deapi` 5.3.1 (PyPI) asks for.
  package static let commandVersions: [UInt32] = [17, 16, 15, 13, 12, 11, 10, 4, 3]

  package var numbers: [Int]

  /// The first four numbers in the text; nil when there are fewer than three.
  package init?(_ text: String) {
    let parts = text.split(whereSeparator: { !("0"..."9").contains($0) }).prefix(4)
    numbers = parts.compactMap { Int($0) }
    guard numbers.count >= 3, numbers.count == parts.count, numbers.allSatisfy({ $0 < 1_000_000 }) else { return nil }
    if numbers.count == 3 { numbers.append(0) }
  }

  private func isAtLeast(_ major: Int, _ minor: Int, _ patch: Int) -> Bool {
    !numbers[..<3].lexicographicallyPrecedes([major, minor, patch])
  }

  /// nil for a server older than any that is known.
  package var commandVersion: UInt32? {
    let build = numbers[3]
    if isAtLeast(2, 8, 3) && build >= 12436 { return 17 }
    if isAtLeast(2, 8, 0) { return build >= 12073 ? 16 : 15 }
    if isAtLeast(2, 7, 5) && build < 11274 { return 15 }
    if isAtLeast(2, 7, 4) { return build < 10590 ? 12 : 13 }
    if isAtLeast(2, 7, 3) { return 11 }
    if isAtLeast(2, 7, 2) { return 10 }
    if isAtLeast(2, 5, 25) { return 4 }
    if isAtLeast(2, 1, 17) { return 3 }
    return nil
  }
}

/// The emergency stop: one datagram to the server's own port, one back (camera-streams.md §4).
package enum DEEmergencyStop {
  package static let request = Array("PyClientStopAcq".utf8)
  /// The reply contains it.
  package static let confirmation = Array("Stopped".utf8)
}
