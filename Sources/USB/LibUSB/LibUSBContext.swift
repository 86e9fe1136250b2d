import CLibUSB
import Linux
import Quantities

/// libusb, ready: its thread, the devices there are, and what is known of them.
@safe
final class LibUSBContext: Sendable {
  let loop: LibUSBEventLoop
  private let registry: LibUSBRegistry

  /// More devices than that are not looked at.
  private static let mostDevices = 256

  /// - Throws: libusb's error number.
  init(_ registry: LibUSBRegistry) throws(LibUSBCode) {
    var context: OpaquePointer?
    let code = unsafe libusb_init(&context)
    guard code == 0, let context = unsafe context else { throw LibUSBCode(number: code) }
    loop = unsafe LibUSBEventLoop(owning: context)
    self.registry = registry
    unsafe libusb_hotplug_register_callback(
      context, Int32(LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED.rawValue | LIBUSB_HOTPLUG_EVENT_DEVICE_LEFT.rawValue), 0,
      LIBUSB_HOTPLUG_MATCH_ANY, LIBUSB_HOTPLUG_MATCH_ANY, LIBUSB_HOTPLUG_MATCH_ANY, deviceChanged,
      Unmanaged.passUnretained(registry).toOpaque(), nil)
    loop.start(keeping: registry)
  }

  deinit { loop.end() }

  /// All devices there are now, hubs left out.
  func devices() -> [LibUSBDevice] {
    var list: UnsafeMutablePointer<OpaquePointer?>?
    let count = unsafe libusb_get_device_list(loop.context, &list)
    guard count >= 0, let list = unsafe list else { return [] }
    defer { unsafe libusb_free_device_list(list, 1) }
    return (0..<min(Int(count), Self.mostDevices)).compactMap { place -> LibUSBDevice? in
      guard let device = unsafe list[place] else { return nil }
      return unsafe LibUSBDevice(device)
    }.filter { !$0.isHub }
  }

  /// What a device says of itself, names and serial number included. It is opened for that once after it was plugged in;
  /// nothing but its strings is asked for.
  /// - Returns: what is known, and libusb's error number when the device could not be opened.
  func facts(of device: LibUSBDevice) -> (facts: USBDeviceFacts, code: Int32) {
    if let known = registry.facts(at: device.address) { return (known, 0) }
    let (traffic, code) = LibUSBTraffic.open(device, self, name: "a USB device")
    guard let traffic else { return (device.facts, code) }
    defer { traffic.close() }
    return (facts(of: device, traffic), 0)
  }

  /// The same over traffic with the open device.
  func facts(of device: LibUSBDevice, _ traffic: LibUSBTraffic) -> USBDeviceFacts {
    if let known = registry.facts(at: device.address) { return known }
    var facts = device.facts
    let span = Seconds(0.5)
    // A device that does not tell one of its names is still a device; one that was only slow is asked again.
    do throws(USBError) {
      facts.serial = try traffic.string(device.strings.serial, within: span)
      facts.manufacturerName = try traffic.string(device.strings.manufacturer, within: span)
      facts.productName = try traffic.string(device.strings.product, within: span)
    } catch {
      guard case .stalled = error else { return facts }
    }
    registry.remember(facts, at: device.address)
    return facts
  }
}

/// An error number of libusb.
struct LibUSBCode: Error {
  var number: Int32
}

/// What is known of the devices on the bus, and who wants to hear when they come and go. Lives as long as its bus, which
/// may outlive several contexts.
final class LibUSBRegistry: Sendable {
  private struct State {
    var known: [LibUSBDevice.Address: USBDeviceFacts] = [:]
    var watchers: [@Sendable (USBChange) -> Void] = []
  }

  private let state = Monitor(State())

  func facts(at address: LibUSBDevice.Address) -> USBDeviceFacts? { state.read { $0.known[address] } }

  func remember(_ facts: USBDeviceFacts, at address: LibUSBDevice.Address) {
    state.update { $0.known[address] = facts }
  }

  func add(_ watcher: @escaping @Sendable (USBChange) -> Void) { state.update { $0.watchers.append(watcher) } }

  /// Called on libusb's thread. An address that is given again belongs to another device.
  fileprivate func changed(_ device: LibUSBDevice, arrived: Bool) {
    let (known, watchers) = state.update { state in
      (state.known.removeValue(forKey: device.address), state.watchers)
    }
    for watcher in watchers { watcher(arrived ? .arrived(device.facts) : .left(known ?? device.facts)) }
  }
}

// A file-scope function: a closure literal given to a C callback inside a type crashes (style.md).
private func deviceChanged(
  _ context: OpaquePointer?, _ device: OpaquePointer?, _ event: libusb_hotplug_event,
  _ registry: UnsafeMutableRawPointer?
) -> Int32 {
  if let device = unsafe device, let registry = unsafe registry, let device = unsafe LibUSBDevice(device),
    !device.isHub
  {
    let registry = unsafe Unmanaged<LibUSBRegistry>.fromOpaque(registry).takeUnretainedValue()
    registry.changed(device, arrived: event == LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED)
  }
  return 0
}
