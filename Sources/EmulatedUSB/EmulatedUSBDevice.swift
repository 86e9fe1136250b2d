import Linux
package import Quantities

/// A USB device without hardware: queues transfers, cuts them into packets and asks a `USBFunction` about each.
///
/// One lock inside; every call may come from any thread. Completions are called under that lock, in the order in which
/// transfers end: they must not block and must not call back into the device.
package final class EmulatedUSBDevice: @unchecked Sendable {
  package typealias Completion = (USBCompletion) -> Void

  /// As much as Linux lets all users of usbfs have in flight (`usbfs_memory_mb`).
  package static let maximumBytesInFlight = 16 << 20
  package static let maximumTransfersInFlight = 1024

  private let engine: Monitor<URBEngine>
  package let descriptors: USBDescriptors

  /// - Parameter clock: the present instant; tests pass their own.
  package init(_ function: any USBFunction, clock: @escaping @Sendable () -> MonotonicTime = { .now }) {
    descriptors = function.descriptors
    engine = Monitor(URBEngine(function, clock: clock))
  }

  /// Queues a transfer. A refusal is a completion as well, with its error number.
  /// - Parameter tag: the caller's name for it, unique among those in flight.
  package func submit(_ request: USBRequestBlock, tag: UInt64, _ completion: @escaping Completion) {
    engine.update { $0.submit(request, tag: tag, completion) }
  }

  /// Takes a transfer back; its completion is not called any more.
  /// - Parameter report: called under the lock with false when the transfer had already ended.
  package func cancel(tag: UInt64, _ report: (_ wasPending: Bool, _ moved: USBCompletion?) -> Void = { _, _ in }) {
    engine.update { engine in
      let moved = engine.cancel(tag)
      report(moved != nil, moved)
    }
  }

  /// Lets time pass for the function and for delayed transfers.
  package func tick(_ now: MonotonicTime) { engine.update { $0.tick(now) } }

  /// Runs `body` between two packets, for what happens inside the device, and looks again at what waits.
  package func perform<Result>(_ body: () -> Result) -> Result {
    engine.update { engine in
      let result = body()
      engine.pump()
      return result
    }
  }

  // MARK: the cable

  package var isPlugged: Bool { engine.read { $0.isPlugged } }

  /// Pulls the cable: everything in flight ends with ESHUTDOWN, and whoever holds the device is told.
  package func unplug() { engine.update { $0.unplug() } }
  package func plug() { engine.update { $0.plug() } }

  /// Tells from now on of every pull of the cable (false) and every return (true), whoever does it. Called under the
  /// device's lock: it must not block and must not call back.
  package func watchCable(_ changed: @escaping @Sendable (_ isPlugged: Bool) -> Void) {
    engine.update { $0.cableWatchers.append(changed) }
  }

  /// Takes the device for one host program.
  /// - Returns: nil when it is unplugged or taken; otherwise a token for `detach`.
  package func attach(_ unplugged: @escaping @Sendable () -> Void) -> UInt64? {
    engine.update { $0.attach(unplugged) }
  }

  /// Gives the device back: what is in flight is dropped. A token that is no longer valid does nothing.
  /// - Parameter keepsConversation: the device does not learn of it, as with a program that closes a real one.
  package func detach(_ token: UInt64, keepsConversation: Bool = false) {
    engine.update { $0.detach(token, keepsConversation: keepsConversation) }
  }
  package var isAttached: Bool { engine.read { $0.isAttached } }

  // MARK: for tests

  package func inject(_ fault: USBFault) { engine.update { $0.inject(fault) } }
  /// Takes back faults that have not come about.
  package func forgetFaults() { engine.update { $0.forgetFaults() } }
  /// Transfers taken in on all endpoints, from the beginning: what `USBFault(endpoint: nil, …)` counts.
  package var transferCount: Int { engine.read { $0.submitted } }
  /// How often the cable was pulled or put in.
  package var plugChanges: Int { engine.read { $0.plugChanges } }
  package var pendingCount: Int { engine.read { $0.pendingCount } }
  package var configuration: UInt8 { engine.read { $0.configuration } }
}
