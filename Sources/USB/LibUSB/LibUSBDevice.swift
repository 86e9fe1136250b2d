import CLibUSB

/// A device on the bus, open or not. What is asked here libusb has read already; nothing is sent.
@safe
final class LibUSBDevice: @unchecked Sendable {
  /// Where it is on this machine; another number after each time it is plugged in.
  struct Address: Hashable, Sendable {
    var bus: UInt8
    var device: UInt8

    /// Its node in the file system, which permissions are about.
    var path: String {
      func three(_ n: UInt8) -> String { String(repeating: "0", count: 3 - String(n).count) + String(n) }
      return "/dev/bus/usb/\(three(bus))/\(three(device))"
    }
  }

  let pointer: OpaquePointer
  let address: Address
  /// Without names and serial number: those only an open device tells.
  let facts: USBDeviceFacts
  let isHub: Bool
  /// String numbers of manufacturer, product and serial number; 0 for none.
  let strings: (manufacturer: UInt8, product: UInt8, serial: UInt8)
  private let configurationCount: UInt8

  /// Takes a reference of its own; nil for a device whose descriptor libusb could not read.
  init?(_ pointer: OpaquePointer) {
    var descriptor = libusb_device_descriptor()
    guard unsafe libusb_get_device_descriptor(pointer, &descriptor) == 0 else { return nil }
    unsafe self.pointer = libusb_ref_device(pointer)
    address = unsafe Address(bus: libusb_get_bus_number(pointer), device: libusb_get_device_address(pointer))
    facts = USBDeviceFacts(vendor: descriptor.idVendor, product: descriptor.idProduct, release: descriptor.bcdDevice)
    isHub = descriptor.bDeviceClass == 0x09
    strings = (descriptor.iManufacturer, descriptor.iProduct, descriptor.iSerialNumber)
    configurationCount = descriptor.bNumConfigurations
  }

  deinit { unsafe libusb_unref_device(pointer) }

  /// The interface of that kind: of the active configuration, else of the first that has one.
  func interface(_ kind: USBInterfaceKind) -> USBInterface? {
    var found: [USBInterface] = []
    var active: UnsafeMutablePointer<libusb_config_descriptor>?
    if unsafe libusb_get_active_config_descriptor(pointer, &active) == 0, let active = unsafe active {
      found += unsafe [USBInterface.first(kind, in: Self.bytes(of: active.pointee))].compactMap(\.self)
      unsafe libusb_free_config_descriptor(active)
    }
    for index in 0..<configurationCount where found.isEmpty {
      var other: UnsafeMutablePointer<libusb_config_descriptor>?
      guard unsafe libusb_get_config_descriptor(pointer, index, &other) == 0, let other = unsafe other else { continue }
      found += unsafe [USBInterface.first(kind, in: Self.bytes(of: other.pointee))].compactMap(\.self)
      unsafe libusb_free_config_descriptor(other)
    }
    return found.first
  }

  /// A configuration descriptor as the device sends it: libusb gives it taken apart, and one parser is enough.
  private static func bytes(of configuration: libusb_config_descriptor) -> [UInt8] {
    let c = unsafe configuration
    let total = unsafe c.wTotalLength
    var bytes = unsafe [
      9, 2, UInt8(total & 0xFF), UInt8(total >> 8), c.bNumInterfaces, c.bConfigurationValue, c.iConfiguration,
      c.bmAttributes, c.MaxPower,
    ]
    bytes += unsafe extra(c.extra, c.extra_length)
    for number in 0..<Int(unsafe c.bNumInterfaces) {
      let interface = unsafe c.interface[number]
      for setting in 0..<max(0, Int(unsafe interface.num_altsetting)) {
        let i = unsafe interface.altsetting[setting]
        bytes += unsafe [
          9, 4, i.bInterfaceNumber, i.bAlternateSetting, i.bNumEndpoints, i.bInterfaceClass, i.bInterfaceSubClass,
          i.bInterfaceProtocol, i.iInterface,
        ]
        bytes += unsafe extra(i.extra, i.extra_length)
        for place in 0..<Int(unsafe i.bNumEndpoints) {
          let e = unsafe i.endpoint[place]
          bytes += unsafe [
            7, 5, e.bEndpointAddress, e.bmAttributes, UInt8(e.wMaxPacketSize & 0xFF), UInt8(e.wMaxPacketSize >> 8),
            e.bInterval,
          ]
          bytes += unsafe extra(e.extra, e.extra_length)
        }
      }
    }
    return bytes
  }

  private static func extra(_ start: UnsafePointer<UInt8>?, _ count: Int32) -> [UInt8] {
    unsafe Array(UnsafeBufferPointer(start: start, count: start == nil ? 0 : Int(count)))
  }
}
