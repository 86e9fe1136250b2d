import EmulatedUSB

/// What the transfers of all programs that have not been reaped take of usbfs' memory (`usbfs_memory_mb`).
final class TransferMemory {
  /// What the kernel adds to the buffer of each transfer; about the size of `struct async` and `struct urb`.
  private static let overhead = 400

  private var used = 0

  /// - Returns: what was taken, or nil when there is no room: 16 MiB in one transfer are too much already.
  func take(_ bytes: Int) -> Int? {
    let cost = bytes + Self.overhead
    guard used + cost <= EmulatedUSBDevice.maximumBytesInFlight else { return nil }
    used += cost
    return cost
  }

  func give(_ cost: Int) { used -= cost }
}
