import Linux
import Testing
import USB

@Suite("libusb where there is nothing to open")
struct LibUSBWithoutDevicesTests {
  @Test(
    "The error says what was looked for, and what to do without USB", .enabled(if: !FileSystem.exists("/dev/bus/usb")))
  func noUSB() throws {
    let bus = LibUSBBus()
    for _ in 0..<3 {
      let error = #expect(throws: USBError.self) {
        _ = try bus.open(USBMatch(vendor: 0x05E6, product: 0x2450), .usbtmc, name: "keithley-2450")
      }
      let text = "\(try #require(error))"
      #expect(text.hasPrefix("keithley-2450 was not found: "))
      #expect(text.contains("/dev/bus/usb") && text.contains("twin"), "\(text)")
    }
    #expect(try bus.devices(name: "all").isEmpty)
    bus.watch { _ in }
  }

  @Test("A device that may not be opened is named with the rule, the commands and the group that are missing")
  func denied() {
    let text = LibUSBAdvice.denied(
      USBDeviceFacts(vendor: 0x05E6, product: 0x2450), path: "/dev/bus/usb/001/004")
    for part in [
      "05E6:2450 at /dev/bus/usb/001/004", "60-insitud.rules", "ATTR{idVendor}==\"05e6\", ATTR{idProduct}==\"2450\"",
      "sudo udevadm control --reload && sudo udevadm trigger", "usermod -a -G insitud",
    ] { #expect(text.contains(part), "\(text)") }
  }
}
