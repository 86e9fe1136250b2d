import CUSBFS
import Glibc
import Linux

/// The pseudo-terminal that stands for a device file. libusb polls its slave for writability: stopped output says that
/// nothing can be reaped, a closed master looks as usbfs does after a disconnect (usb-emulation.md §A.4).
///
/// Used under the lock of its `DeviceNode`.
final class DeviceTerminal {
  /// Path of the slave.
  let path: String
  private var master: Int32
  private let slave: Int32
  private var flows = false

  init() throws(LinuxError) {
    var master: Int32 = -1
    var slave: Int32 = -1
    var name = [CChar](repeating: 0, count: 64)
    guard unsafe cusbfs_open_terminal(&master, &slave, &name, name.count) == 0 else {
      throw LinuxError("pseudo-terminal", number: errno)
    }
    self.master = master
    self.slave = slave
    path = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit {
    hangUp()
    cusbfs_close(slave)
  }

  /// Whether something can be reaped.
  func letFlow(_ wanted: Bool) {
    guard wanted != flows, master >= 0 else { return }
    flows = wanted
    cusbfs_let_flow(slave, wanted ? 1 : 0)
  }

  /// The device is gone: every program that polls the slave is told.
  func hangUp() {
    guard master >= 0 else { return }
    cusbfs_close(master)
    master = -1
  }
}
