import CLibUSB
import Linux
import Quantities

/// An open device, with the interfaces that are claimed. Whatever uses it keeps it; when nobody does any more the
/// interfaces are released, which gives them back to the kernel's drivers, and the device is closed.
@safe
final class LibUSBHandle: @unchecked Sendable {
  let pointer: OpaquePointer
  /// Becomes true when the device has been closed.
  let isClosed = Monitor(false)
  private let context: LibUSBContext
  private let claimed = Monitor<[UInt8]>([])

  private init(_ pointer: OpaquePointer, _ context: LibUSBContext) {
    unsafe self.pointer = pointer
    self.context = context
  }

  /// - Returns: nil and libusb's error number when the device cannot be opened.
  static func open(_ device: LibUSBDevice, _ context: LibUSBContext) -> (handle: LibUSBHandle?, code: Int32) {
    var pointer: OpaquePointer?
    let code = unsafe libusb_open(device.pointer, &pointer)
    guard code == 0, let pointer = unsafe pointer else { return (nil, code) }
    return unsafe (LibUSBHandle(pointer, context), 0)
  }

  deinit {
    let claimed = claimed.read { $0 }
    let isClosed = isClosed
    nonisolated(unsafe) let pointer = unsafe pointer
    // libusb goes on using a handle after the callback in which the last transfer ended.
    context.loop.perform(outsideOfCallbacks: {
      // The data interface of a CDC function before the one its kernel driver asks for.
      for number in claimed.reversed() { unsafe libusb_release_interface(pointer, Int32(number)) }
      unsafe libusb_close(pointer)
      isClosed.update { $0 = true }
    })
  }

  var isOnEventThread: Bool { context.loop.isCurrentThread }

  /// Sets the configuration if it is another one: setting the same would reset the device (usbtmc.md §1).
  /// - Returns: libusb's error number, 0 for none.
  func configure(_ value: UInt8) -> Int32 {
    var current: Int32 = 0
    let asked = unsafe libusb_get_configuration(pointer, &current)
    guard asked == 0 else { return asked }
    return current == Int32(value) ? 0 : unsafe libusb_set_configuration(pointer, Int32(value))
  }

  /// Claims an interface; a kernel driver that has it is detached in the same step and gets it back afterwards.
  /// - Returns: libusb's error number, 0 for none.
  func claim(_ number: UInt8) -> Int32 {
    // Where it is not supported there is no driver to detach.
    unsafe _ = libusb_set_auto_detach_kernel_driver(pointer, 1)
    let code = unsafe libusb_claim_interface(pointer, Int32(number))
    if code == 0 { claimed.update { $0.append(number) } }
    return code
  }

  /// Blocks for up to the kernel's own five seconds. Needed as it is: the kernel resets its own half of the endpoint's
  /// data toggle only on this call (usbtmc.md §7).
  func clearHalt(_ endpoint: UInt8) -> Int32 { unsafe libusb_clear_halt(pointer, endpoint) }

  /// Resets the port; libusb claims the same interfaces again. Blocks as long as the hub and the device take.
  /// - Returns: libusb's error number, 0 for none; NOT_FOUND when it is another device afterwards.
  func reset() -> Int32 { unsafe libusb_reset_device(pointer) }
}
