import Linux
import Quantities
import Synchronization

/// A disk that carries out what it is given, and tells of no end as long as it is held.
final class HeldDisk: DiskBehind {
  private let isHeld: Hold

  final class Hold: Sendable {
    private let state = Atomic(false)
    var isOn: Bool {
      get { state.load(ordering: .relaxed) }
      set { state.store(newValue, ordering: .relaxed) }
    }
  }

  init(limit: Int, _ isHeld: Hold) {
    self.isHeld = isHeld
    super.init(limit: limit)
  }

  override func next(atMost span: Seconds) -> FileCompletion? {
    let end = MonotonicTime.now + span
    while isHeld.isOn {
      guard MonotonicTime.now < end else { return nil }
      sleepThread(for: Seconds(0.001))
    }
    return disk.next(atMost: max(Seconds(0), end - .now))
  }
}
