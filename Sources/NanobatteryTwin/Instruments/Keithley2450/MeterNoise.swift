import Glibc

/// What an electrometer adds to the truth: white noise that falls with the aperture, and 1/f noise.
struct MeterNoise {
  /// Time constants of the relaxations that together make 1/f over these decades, s.
  private static let timeConstants = [0.3, 3.0, 30.0, 300.0]

  /// rms of a reading at an aperture of one period of 50 Hz.
  let white: Double
  /// rms of the sum of all relaxations.
  let flicker: Double
  private var relaxations = [Double](repeating: 0, count: timeConstants.count)
  private var lastTime: Double?
  private var state: UInt64

  init(white: Double, flicker: Double, seed: UInt64) {
    self.white = white
    self.flicker = flicker
    state = seed
  }

  /// - Parameters:
  ///   - aperture: s.
  ///   - time: s, not going back.
  mutating func next(aperture: Double, at time: Double) -> Double {
    var sum = white == 0 ? 0 : white * (0.02 / aperture).squareRoot() * normal()
    guard flicker > 0 else { return sum }
    let share = flicker / Double(Self.timeConstants.count).squareRoot()
    for index in relaxations.indices {
      // Exact step of an Ornstein–Uhlenbeck process of rms `share`.
      let kept = lastTime.map { exp(-max(0, time - $0) / Self.timeConstants[index]) } ?? 0
      relaxations[index] = relaxations[index] * kept + share * (1 - kept * kept).squareRoot() * normal()
      sum += relaxations[index]
    }
    lastTime = time
    return sum
  }

  private mutating func uniform() -> Double {
    // SplitMix64 (Steele, Lea and Flood, 2014).
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return Double((z ^ (z >> 31)) >> 11) * 0x1p-53
  }

  private mutating func normal() -> Double {
    let radius = (-2 * log(1 - uniform())).squareRoot()
    return radius * cos(2 * .pi * uniform())
  }
}
