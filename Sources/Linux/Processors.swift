import CLinux

/// The processors of this machine.
package enum Processors {
  /// Numbers of those that the calling thread may run on, ascending.
  package static var usable: [Int] {
    var found: [Int] = []
    while true {
      let next = clinux_usable_processor(Int32(found.count))
      guard next >= 0 else { return found }
      found.append(Int(next))
    }
  }

  /// Keeps the calling thread on one of them.
  package static func pinThread(to processor: Int) throws(LinuxError) {
    let failure = clinux_pin_thread(Int32(clamping: processor))
    guard failure == 0 else { throw LinuxError("pthread_setaffinity_np", "\(processor)", number: failure) }
  }
}
