package import Linux

/// Why a ring could not be made or opened.
package enum FrameRingError: Error, Equatable, CustomStringConvertible {
  case system(LinuxError)
  /// The sizes asked for.
  case impossibleSize(path: String, slots: Int, slotBytes: Int)
  case notARing(path: String)
  case otherVersion(path: String, found: UInt32, understood: UInt32)
  /// The header says something that the file does not bear out.
  case contradiction(path: String, detail: String)

  package var description: String {
    switch self {
    case .system(let error):
      "frame ring: \(error)"
    case .impossibleSize(let path, let slots, let slotBytes):
      "frame ring \(path): \(slots) slots of \(slotBytes) bytes cannot be made; "
        + "choose 1…\(FrameRing.mostSlots) slots of 1…\(FrameRing.mostSlotBytes) bytes"
    case .notARing(let path):
      "\(path) is not a frame ring (or its writer has not finished making it); give the path of a running camera's ring"
    case .otherVersion(let path, let found, let understood):
      "frame ring \(path) has layout version \(found), this program understands \(understood); "
        + "run the same release on both sides"
    case .contradiction(let path, let detail):
      "frame ring \(path) is damaged: \(detail); restart its writer"
    }
  }
}
