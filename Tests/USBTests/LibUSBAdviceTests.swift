import Glibc
import Linux
import Testing
import USB

@Suite("What is said when an interface is taken")
struct LibUSBAdviceTests {
  @Test("The kernel's driver of an interface is read from sysfs, by the device's numbers")
  func driver() throws {
    var template = Array("/tmp/sysfs.XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let root = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { _ = system("rm -r \(root)") }
    for (name, device) in [("usb1", 1), ("1-1", 7), ("1-1.2", 12)] {
      try FileSystem.makeDirectories("\(root)/\(name)")
      _ = system("echo 3 > \(root)/\(name)/busnum; echo \(device) > \(root)/\(name)/devnum")
    }
    for (name, driver) in [("1-1:1.0", "usbtmc"), ("1-1.2:1.1", "usbfs")] {
      try FileSystem.makeDirectories("\(root)/\(name)")
      #expect(symlink("../../../bus/usb/drivers/\(driver)", "\(root)/\(name)/driver") == 0)
    }
    func found(_ device: UInt8, _ interface: UInt8, bus: UInt8 = 3) -> String? {
      LibUSBAdvice.driver(bus: bus, device: device, configuration: 1, interface: interface, below: root)
    }
    #expect(found(7, 0) == "usbtmc")
    #expect(found(12, 1) == "usbfs")
    #expect(found(12, 0) == nil)
    #expect(found(7, 0, bus: 2) == nil)
  }

  @Test("Who has it is named, and what ends that")
  func users() {
    func words(_ programs: [String], _ driver: String?) -> String {
      LibUSBAdvice.user(of: "/dev/bus/usb/003/007", programs: programs, driver: driver)
    }
    #expect(words([], "usbtmc").contains("kernel driver usbtmc"))
    #expect(words([], "usbtmc").contains("modprobe -r usbtmc"))
    #expect(words(["python3 (process 12)"], "usbfs").contains("python3 (process 12)"))
    #expect(words([], "usbfs").contains("sudo lsof /dev/bus/usb/003/007"))
    #expect(words([], nil).contains("another program"))
  }
}
