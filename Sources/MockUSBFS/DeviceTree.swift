import EmulatedUSB
import Glibc
import Linux

/// The files by which libudev and libusb find devices: `sys`, `dev`, and the sockets that take their ioctls.
///
/// What has to be there: usb-emulation.md §A.1.
struct DeviceTree: Sendable {
  static let longestSocket = "/ioctl/dev/bus/usb/001/127"

  let root: String

  private static let hub = "sys/devices/usb1"

  init(root: String) { self.root = root }

  /// Makes everything but the devices, on an empty place.
  func make() throws(LinuxError) {
    remove()
    for directory in [
      Self.hub, "sys/bus/usb/devices", "sys/dev/char", "sys/class", "dev/bus/usb/001", "dev/.node",
      "ioctl/dev/bus/usb/001", "run/udev/data",
    ] { try FileSystem.makeDirectories("\(root)/\(directory)") }
    try link("../../bus/usb", "\(Self.hub)/subsystem")
    try link("../../../devices/usb1", "sys/bus/usb/devices/usb1")
    try link("../../devices/usb1", "sys/dev/char/189:0")
    // libusb walks to the parent of every device, a root hub.
    let device: [UInt8] = [18, 1, 0x00, 0x02, 9, 0, 1, 64, 0x6B, 0x1D, 0x02, 0x00, 0x00, 0x01, 0, 0, 0, 1]
    let configuration: [UInt8] =
      [9, 2, 25, 0, 1, 1, 0, 0xE0, 0] + [9, 4, 0, 0, 1, 9, 0, 0, 0] + [7, 5, 0x81, 3, 4, 0, 12]
    let facts = Facts(
      vendor: 0x1D6B, product: 2, release: 0x0100, deviceClass: 9, speed: .high, address: 1, configuration: 1,
      path: "0", interfaces: 1, texts: ["manufacturer": "Linux", "product": "Emulated root hub", "serial": "mock"])
    try write(facts, device + configuration, into: Self.hub)
  }

  /// Puts one device in.
  func add(_ descriptors: USBDescriptors, configurationBytes: [UInt8], port: Int, address: Int, terminal: String)
    throws(LinuxError)
  {
    let place = Self.place(port)
    try FileSystem.makeDirectories("\(root)/\(place)")
    try link("../../../bus/usb", "\(place)/subsystem")
    let facts = Facts(
      vendor: descriptors.vendor, product: descriptors.product, release: descriptors.release,
      deviceClass: descriptors.device[4], speed: descriptors.speed, address: address,
      configuration: descriptors.configurationValue, path: "\(port)",
      interfaces: descriptors.interfaces.count,
      texts: [
        "manufacturer": descriptors.manufacturerName, "product": descriptors.productName,
        "serial": descriptors.serial,
      ])
    try write(facts, descriptors.device + configurationBytes, into: place)
    try link(terminal, "dev/bus/usb/001/\(Self.three(address))")
    try link("189:\(address - 1)", "dev/.node/bus_usb_001_\(Self.three(address))")
    try link("../../devices/usb1/1-\(port)", "sys/dev/char/189:\(address - 1)")
    try link("../../../devices/usb1/1-\(port)", "sys/bus/usb/devices/1-\(port)")
  }

  /// Takes one device out.
  func remove(port: Int, address: Int) {
    for path in [
      "sys/bus/usb/devices/1-\(port)", "sys/dev/char/189:\(address - 1)", "dev/bus/usb/001/\(Self.three(address))",
      "dev/.node/bus_usb_001_\(Self.three(address))", Self.relativeSocket(address),
    ] { FileSystem.remove("\(root)/\(path)") }
    removeTree("\(root)/\(Self.place(port))")
  }

  func setConfiguration(_ value: UInt8, port: Int) {
    // An unconfigured device has an empty file.
    try? FileSystem.replace(
      "\(root)/\(Self.place(port))/bConfigurationValue", with: Array((value == 0 ? "\n" : "\(value)\n").utf8))
  }

  /// Removes what `make` made and all that came into it.
  func remove() {
    for directory in ["sys", "dev", "ioctl", "run"] { removeTree("\(root)/\(directory)") }
  }

  /// Sockets of the programs that listen for hot-plug messages.
  func eventSockets() -> [String] {
    ((try? FileSystem.list(root)) ?? []).filter { $0.hasPrefix("event") && Int($0.dropFirst(5)) != nil }
  }

  func socket(_ address: Int) -> String { "\(root)/\(Self.relativeSocket(address))" }
  var defaultSocket: String { "\(root)/ioctl/_default" }

  private static func relativeSocket(_ address: Int) -> String { "ioctl/dev/bus/usb/001/\(three(address))" }
  private static func place(_ port: Int) -> String { "\(hub)/1-\(port)" }
  /// Where the kernel says that a device is.
  static func devicePath(_ port: Int) -> String { "/devices/usb1/1-\(port)" }
  static func three(_ number: Int) -> String { String(String(1000 + number).dropFirst()) }

  // MARK: files

  private struct Facts {
    var vendor, product, release: UInt16
    var deviceClass: UInt8
    var speed: USBSpeed
    var address: Int
    var configuration: UInt8
    var path: String
    var interfaces: Int
    var texts: [String: String]
  }

  private func write(_ facts: Facts, _ descriptors: [UInt8], into place: String) throws(LinuxError) {
    func hex(_ number: some BinaryInteger, _ digits: Int) -> String {
      let text = String(number, radix: 16)
      return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
    var files = facts.texts
    files["uevent"] = DeviceTree.properties(
      vendor: facts.vendor, product: facts.product, release: facts.release, deviceClass: facts.deviceClass,
      address: facts.address
    ).map { "\($0)=\($1)" }.joined(separator: "\n")
    files["busnum"] = "1"
    files["devnum"] = "\(facts.address)"
    files["dev"] = "189:\(facts.address - 1)"
    files["devpath"] = facts.path
    files["speed"] = facts.speed == .high ? "480" : "12"
    files["version"] = " 2.00"
    files["idVendor"] = hex(facts.vendor, 4)
    files["idProduct"] = hex(facts.product, 4)
    files["bcdDevice"] = hex(facts.release, 4)
    files["bDeviceClass"] = hex(facts.deviceClass, 2)
    files["bDeviceSubClass"] = "00"
    files["bDeviceProtocol"] = facts.deviceClass == 9 ? "01" : "00"
    files["bConfigurationValue"] = "\(facts.configuration)"
    files["bNumConfigurations"] = "1"
    files["bNumInterfaces"] = " \(facts.interfaces)"
    files["bMaxPacketSize0"] = "64"
    files["maxchild"] = facts.deviceClass == 9 ? "8" : "0"
    for (name, text) in files {
      try FileSystem.replace("\(root)/\(place)/\(name)", with: Array((text + "\n").utf8))
    }
    try FileSystem.replace("\(root)/\(place)/descriptors", with: descriptors)
  }

  /// What the kernel tells of a device in `uevent` and in its messages.
  static func properties(vendor: UInt16, product: UInt16, release: UInt16, deviceClass: UInt8, address: Int)
    -> [(String, String)]
  {
    func hex(_ number: UInt16) -> String { String(number, radix: 16) }
    return [
      ("MAJOR", "189"), ("MINOR", "\(address - 1)"), ("DEVNAME", "bus/usb/001/\(three(address))"),
      ("DEVTYPE", "usb_device"), ("DRIVER", "usb"),
      ("PRODUCT", "\(hex(vendor))/\(hex(product))/\(hex(release))"), ("TYPE", "\(deviceClass)/0/0"),
      ("BUSNUM", "001"), ("DEVNUM", three(address)),
    ]
  }

  private func link(_ target: String, _ path: String) throws(LinuxError) {
    let whole = "\(root)/\(path)"
    FileSystem.remove(whole)
    guard unsafe symlink(target, whole) == 0 else { throw LinuxError("symlink", whole) }
  }

  private func removeTree(_ path: String) {
    for name in (try? FileSystem.list(path)) ?? [] {
      let below = "\(path)/\(name)"
      if unsafe unlink(below) != 0 { removeTree(below) }
    }
    unsafe _ = rmdir(path)
  }
}
