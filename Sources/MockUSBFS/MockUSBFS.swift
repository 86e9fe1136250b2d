package import EmulatedUSB
package import Linux
import Glibc
import Quantities

/// Emulated devices as a directory that real libusb and libudev take for the machine's USB: `sys`, `dev`, ioctls and
/// hot-plug messages. No kernel USB and no privilege is needed.
///
/// A program reaches them with `UMOCKDEV_DIR=root LD_PRELOAD=libumockdev-preload.so.0` in its environment
/// (usb-emulation.md §A); it may be this process or another. The devices are followed: whoever unplugs one, here or
/// there, is seen by every program.
package final class MockUSBFS: Sendable {
  /// Where other ways to a device differ from this one (usb-emulation.md §C).
  package struct Options: Sendable {
    /// The host sees other endpoint addresses than the device has, as behind a USB device controller that gives its
    /// own.
    package var renumbersEndpoints = false
    /// Transfers under way end with a protocol error when the cable is pulled, not with "no device".
    package var unplugGivesError = false
    /// Interfaces that Linux has a driver for are bound to it, so that a program has to detach it.
    package var hasKernelDrivers = true

    package init() {}
  }

  /// Sockets below the root have at most 107 bytes in their paths.
  package static let longestRoot = 107 - DeviceTree.longestSocket.utf8.count

  package let root: String
  private let devices: [EmulatedUSBDevice]
  private let signals: HostSignals
  private let thread: NamedThread

  /// Makes the tree and begins to serve; devices that are plugged in are there when this returns.
  /// - Parameters:
  ///   - root: a directory, best on tmpfs; what an earlier mock left there is removed. Not below `/dev` when libusb runs
  ///     in this very process: files there are asked of the mock.
  ///   - devices: at ports 1-1, 1-2 …
  package init(root: String, devices: [EmulatedUSBDevice], options: Options = Options()) throws(LinuxError) {
    var root = root
    while root.count > 1, root.hasSuffix("/") { root.removeLast() }
    guard root.utf8.count <= Self.longestRoot else { throw LinuxError("socket path", root, number: ENAMETOOLONG) }
    self.root = root
    self.devices = devices
    let signals = try HostSignals()
    self.signals = signals
    let host = try MockHost(root: root, devices: devices, options: options, signals: signals)
    for (index, device) in devices.enumerated() {
      device.watchCable { [signals] isPlugged in signals.tell(.cable(index, isPlugged: isPlugged)) }
    }
    thread = NamedThread("mock-usbfs") { host.serve() }
  }

  /// Pulls the cable of one device.
  package func unplug(_ index: Int) { devices[index].unplug() }
  package func plug(_ index: Int) { devices[index].plug() }

  /// Handles that programs have open now.
  package var openHandles: Int { signals.openHandles }

  /// Takes all devices away, waits up to a second until programs have closed them, and removes the tree. A program that
  /// has a handle open for longer is ended by the preloaded library at its next call.
  package func stop() {
    signals.tell(.end)
    thread.join()
  }
}
