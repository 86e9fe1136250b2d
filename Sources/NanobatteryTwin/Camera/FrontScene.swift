internal import Glibc

/// What the camera sees: vacuum at the left, the lamella with its reaction front, the substrate at the right.
///
/// The front runs from the lamella's left edge (state of charge 0) to its right edge (1), bowed and rough by a fixed
/// amount per row. Behind it the material has reacted and lets more electrons through. Each region is Poisson noise of
/// one mean, laid down row by row from random places of the region's pool.
final class FrontScene: @unchecked Sendable {
  /// Share of the incoming electrons that arrives.
  enum Region: Int, CaseIterable {
    case vacuum, reacted, unreacted, substrate
    var transmission: Double {
      switch self {
      case .vacuum: 1
      case .reacted: 0.75
      case .unreacted: 0.5
      case .substrate: 0.3
      }
    }
  }

  /// Counts a random stretch can begin at; a power of two.
  static let poolStarts = 1 << 18
  static let lamellaStart = 0.12
  static let lamellaStop = 0.90

  let width: Int
  let height: Int
  /// Nothing but vacuum.
  private let isVacuum: Bool
  private let pools: [PoissonPool]
  /// Pixels by which the front of each row is ahead.
  private let profile: [Int]
  private var scramble: UInt64

  /// - Parameter mean: counts of a pixel in vacuum during one exposure.
  init(width: Int, height: Int, mean: Double, seed: UInt64, isVacuum: Bool = false) {
    self.width = width
    self.height = height
    self.isVacuum = isVacuum
    var random = SeededRandom(seed: seed, stream: 3)
    profile = Self.makeProfile(width: width, height: height, &random)
    pools = Region.allCases.map {
      PoissonPool(mean: mean * $0.transmission, count: Self.poolStarts + width, random: &random)
    }
    scramble = random.next() | 1
  }

  private static func makeProfile(width: Int, height: Int, _ random: inout SeededRandom) -> [Int] {
    let bow = 0.04 * Double(width)
    let roughness = 0.008 * Double(width)
    var offset = 0.0
    return (0..<height).map { row in
      let y = 2 * (Double(row) + 0.5) / Double(height) - 1
      // Rows are alike over about 30 rows.
      offset = 0.97 * offset + roughness * (1 - 0.97 * 0.97).squareRoot() * random.normal()
      return Int((bow * (0.5 - y * y) + offset).rounded())
    }
  }

  /// First column of the row that has not reacted.
  func front(row: Int, stateOfCharge: Double) -> Int {
    let left = Int(Self.lamellaStart * Double(width))
    let right = Int(Self.lamellaStop * Double(width))
    let share = min(max(stateOfCharge, 0), 1)
    return min(max(left + Int((share * Double(right - left)).rounded()) + profile[row], left), right)
  }

  /// Lays a frame down; `pixels` has width·height counts. One thread at a time.
  func draw(stateOfCharge: Double, into pixels: UnsafeMutablePointer<UInt16>) {
    let left = Int(Self.lamellaStart * Double(width))
    let right = Int(Self.lamellaStop * Double(width))
    for row in 0..<height {
      let front = front(row: row, stateOfCharge: stateOfCharge)
      let line = unsafe pixels + row * width
      if isVacuum {
        unsafe lay(.vacuum, 0, width, line)
        continue
      }
      unsafe lay(.vacuum, 0, left, line)
      unsafe lay(.reacted, left, front, line)
      unsafe lay(.unreacted, front, right, line)
      unsafe lay(.substrate, right, width, line)
    }
  }

  private func lay(_ region: Region, _ from: Int, _ to: Int, _ line: UnsafeMutablePointer<UInt16>) {
    guard to > from else { return }
    // xorshift64: fast, and good enough for places.
    scramble ^= scramble << 13
    scramble ^= scramble >> 7
    scramble ^= scramble << 17
    let start = Int(scramble >> 40) & (Self.poolStarts - 1)
    unsafe pools[region.rawValue].copy(to - from, from: start, to: line + from)
  }
}
