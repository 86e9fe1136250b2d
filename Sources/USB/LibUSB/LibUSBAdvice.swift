import CLibUSB
import Glibc
import Linux

/// What to do when a device cannot be used.
package enum LibUSBAdvice {
  /// Devices named in one message.
  static let mostListed = 16

  static let noUSB =
    "Either nothing is plugged in, or this is a container or virtual machine that was given no USB (/dev/bus/usb). "
    + "Without instruments use the twin: usb: {bus: usbip}"

  /// "05E6:2450 Keithley Instruments Inc. 2450 SourceMeter, serial number 04412345".
  static func line(_ facts: USBDeviceFacts) -> String {
    let names = [facts.manufacturerName, facts.productName].filter { !$0.isEmpty }.joined(separator: " ")
    let serial = facts.serial.isEmpty ? ", serial number unknown" : ", serial number \(facts.serial)"
    return "\(four(facts.vendor)):\(four(facts.product))" + (names.isEmpty ? "" : " " + names) + serial
  }

  static func cannotOpen(_ device: LibUSBDevice, _ facts: USBDeviceFacts, _ code: Int32, _ name: String) -> USBError {
    switch code {
    case LIBUSB_ERROR_ACCESS.rawValue:
      return .notFound(device: name, reason: denied(facts, path: device.address.path))
    case LIBUSB_ERROR_NO_DEVICE.rawValue, LIBUSB_ERROR_NOT_FOUND.rawValue: return .disconnected(device: name)
    default:
      let which = "\(four(facts.vendor)):\(four(facts.product)) at \(device.address.path)"
      return .notFound(device: name, reason: "\(which) cannot be opened (libusb: \(libUSBText(code)))")
    }
  }

  /// What is missing when a device is there and may not be opened: the rule, the commands, the group.
  package static func denied(_ facts: USBDeviceFacts, path: String) -> String {
    let rule =
      "SUBSYSTEM==\"usb\", ATTR{idVendor}==\"\(four(facts.vendor).lowercased())\", "
      + "ATTR{idProduct}==\"\(four(facts.product).lowercased())\", GROUP=\"insitud\", MODE=\"0660\""
    return "it is plugged in (\(four(facts.vendor)):\(four(facts.product)) at \(path)), but this user may not open it. "
      + "Put the file 60-insitud.rules into /etc/udev/rules.d, with this line if the device is not among its own: "
      + "\(rule) – then run “sudo udevadm control --reload && sudo udevadm trigger”. The user must belong to the group "
      + "insitud: “sudo usermod -a -G insitud $USER”, and log in again"
  }

  static func cannotClaim(_ device: LibUSBDevice, _ interface: USBInterface, _ code: Int32, _ name: String) -> USBError
  {
    let which = "interface \(interface.number) of \(four(device.facts.vendor)):\(four(device.facts.product))"
    switch code {
    case LIBUSB_ERROR_BUSY.rawValue:
      return .notFound(
        device: name,
        reason: "\(which) is in use by "
          + user(
            of: device.address.path, programs: programs(using: device.address.path),
            driver: driver(of: device.address, interface)))
    case LIBUSB_ERROR_NO_DEVICE.rawValue: return .disconnected(device: name)
    default: return .notFound(device: name, reason: "\(which) cannot be claimed (libusb: \(libUSBText(code)))")
    }
  }

  /// Who has the interface, and what ends that.
  /// - Parameter driver: the kernel's, "usbfs" for a program.
  package static func user(of path: String, programs: [String], driver: String?) -> String {
    switch driver {
    case let driver? where driver != "usbfs":
      "the kernel driver \(driver), which does not let go of it. “sudo modprobe -r \(driver)” takes it away; then try again"
    case _ where !programs.isEmpty: "\(programs.joined(separator: ", ")). End that program, then try again"
    default:
      "another program that this user may not look at (or this one, for another instrument); “sudo lsof \(path)” tells "
        + "which. End that program, then try again"
    }
  }

  /// The kernel driver that an interface is bound to, "usbfs" when a program has it; nil when it is free or unknown.
  /// - Parameter root: where sysfs lists USB devices.
  package static func driver(
    bus: UInt8, device: UInt8, configuration: UInt8, interface: UInt8, below root: String = "/sys/bus/usb/devices"
  ) -> String? {
    func number(_ path: String) -> Int? {
      let bytes = (try? FileSystem.read(path, limit: 64)) ?? []
      return Int(String(decoding: bytes.prefix { $0 > 32 }, as: UTF8.self))
    }
    // Interfaces have a colon in their names, "1-2:1.0"; they are below their device, "1-2".
    let names = (try? FileSystem.list(root)) ?? []
    let found = names.first { name in
      !name.contains(":") && number("\(root)/\(name)/busnum") == Int(bus)
        && number("\(root)/\(name)/devnum") == Int(device)
    }
    guard let found, let link = target("\(root)/\(found):\(configuration).\(interface)/driver") else { return nil }
    return link.split(separator: "/").last.map(String.init)
  }

  private static func driver(of address: LibUSBDevice.Address, _ interface: USBInterface) -> String? {
    driver(
      bus: address.bus, device: address.device, configuration: interface.configuration, interface: interface.number)
  }

  /// Programs that have the device open, as far as this user may see: "python3 (process 1234)".
  private static func programs(using path: String) -> [String] {
    guard let processes = try? FileSystem.list("/proc") else { return [] }
    var found: [String] = []
    for process in processes {
      guard let number = Int32(process), let files = try? FileSystem.list("/proc/\(process)/fd"),
        files.contains(where: { target("/proc/\(process)/fd/\($0)") == path })
      else { continue }
      let name = (try? FileSystem.read("/proc/\(process)/comm", limit: 4096)) ?? []
      let text = String(decoding: name.prefix { $0 != 10 }, as: UTF8.self)
      // The handle of this very attempt is open too; only this process can say whether there is a second.
      if number == getpid() { continue }
      found.append("\(text) (process \(number))")
    }
    return found
  }

  private static func target(_ link: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 256)
    let count = unsafe readlink(link, &buffer, buffer.count)
    guard count > 0 else { return nil }
    return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func four(_ number: UInt16) -> String {
    let text = String(number, radix: 16, uppercase: true)
    return String(repeating: "0", count: 4 - text.count) + text
  }
}

extension USBInterfaceKind {
  /// The kind as an operator knows it.
  var words: String {
    switch self {
    case .usbtmc: "USBTMC"
    case .cdcACM: "serial port, CDC-ACM"
    case .ftdi(let port): "serial port \(port) of an FTDI chip"
    }
  }
}
