import Linux
import Quantities

/// What is given up when the disk does not keep up, or fills: in the order of `storage.degrade`.
package enum Degradation: Hashable, Sendable, CustomStringConvertible {
  /// Of the frames that are wanted, every n-th is written.
  case everyNth(Int)
  /// Binned frames, a few per second.
  case previews
  /// The run ends.
  case stop

  /// As it stands in the configuration.
  package var description: String {
    switch self {
    case .everyNth(2): "every 2nd"
    case .everyNth(3): "every 3rd"
    case .everyNth(let count): "every \(count)th"
    case .previews: "previews"
    case .stop: "stop"
    }
  }
}

/// Watches how far the recorder is behind the camera, and says how much of the frames it should still take in.
struct DiskPressure {
  /// Further down when so much of the ring is not the camera's because of the disk.
  private static let tooMuch = 0.75
  /// Up again when no more of the ring than this has not been dealt with.
  private static let little = 0.06
  /// A step down must have time to show.
  private static let beforeNextDown = Seconds(0.5)
  /// Rest before a step up.
  private static let beforeUp = Seconds(2)

  let order: [Degradation]
  /// How many steps of the order are in force.
  private(set) var level = 0
  /// The disk is nearly full: previews at most.
  private(set) var isFull = false
  private var changed = MonotonicTime(nanoseconds: 0)
  private var calmSince: MonotonicTime?
  private var admitted: UInt64 = 0

  init(_ order: [Degradation]) { self.order = order }

  /// What is in force; nil: everything is written.
  var measure: Degradation? {
    if isFull { return order.contains(.previews) ? .previews : .stop }
    return level > 0 ? order[level - 1] : nil
  }

  /// - Parameters:
  ///   - waiting: slots that have not been dealt with.
  ///   - taken: these, and the slots from the first on that is being written: with every n-th frame, each write keeps n of them.
  /// - Returns: true when the measure changed.
  mutating func note(waiting: Int, taken: Int, of slots: Int, at now: MonotonicTime) -> Bool {
    if Double(taken) > Self.tooMuch * Double(slots) {
      calmSince = nil
      guard level < order.count, level == 0 || now - changed >= Self.beforeNextDown else { return false }
      level += 1
      changed = now
      return true
    }
    guard level > 0, Double(waiting) < Self.little * Double(slots) else {
      calmSince = nil
      return false
    }
    guard let since = calmSince else {
      calmSince = now
      return false
    }
    guard now - since >= Self.beforeUp else { return false }
    level -= 1
    changed = now
    calmSince = now
    return true
  }

  /// - Returns: true when the measure changed.
  mutating func note(isFull: Bool) -> Bool {
    defer { self.isFull = isFull }
    return isFull != self.isFull
  }

  /// Whether a frame that is wanted is written as it is.
  mutating func admits() -> Bool {
    switch measure {
    case nil: return true
    case .everyNth(let count):
      defer { admitted += 1 }
      return admitted % UInt64(count) == 0
    case .previews, .stop: return false
    }
  }
}
