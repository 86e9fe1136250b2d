import CLibUSB
import Linux

/// The USB devices of this computer, by libusb.
package final class LibUSBBus: USBBus {
  private let context = Monitor<LibUSBContext?>(nil)
  private let registry = LibUSBRegistry()

  /// libusb itself begins with the first call: a computer without USB says so then, and may get it later.
  package init() {}

  /// The one device that matches; several without a serial number to tell them apart are an error.
  ///
  /// Its kernel driver, if it has one, gets the interface back when the transport is closed.
  package func open(_ wanted: USBMatch, _ kind: USBInterfaceKind, name: String) throws(USBError) -> any USBTransport {
    let context = try running(name)
    let present = context.devices()
    let candidates = present.filter {
      (wanted.id == nil || wanted.id == USBMatch.ID(vendor: $0.facts.vendor, product: $0.facts.product))
        && $0.interface(kind) != nil
    }
    guard !candidates.isEmpty else {
      throw .notFound(device: name, reason: missing(wanted, kind, among: present, context))
    }
    let device = try one(of: candidates, wanted, context, name)
    guard let interface = device.interface(kind) else { throw .disconnected(device: name) }
    return try take(device, interface, context, name)
  }

  /// Tells of devices from libusb's own thread. One that arrives is told without its names and serial number, which
  /// cannot be asked for there (`USBMatch.mayMean` takes that into account); one that leaves with what was known of it.
  package func watch(_ changed: @escaping @Sendable (USBChange) -> Void) {
    registry.add(changed)
    // Where libusb cannot begin yet, the next `open` tries again and says why.
    _ = try? running("USB")
  }

  package var tellsChanges: Bool { true }

  /// All devices there are now, as far as they may be asked.
  /// - Parameter name: of who asks, for the error.
  package func devices(name: String) throws(USBError) -> [USBDeviceFacts] {
    let context = try running(name)
    return context.devices().map { context.facts(of: $0).facts }
  }

  private func running(_ name: String) throws(USBError) -> LibUSBContext {
    do throws(LibUSBCode) {
      return try context.update { (context: inout LibUSBContext?) throws(LibUSBCode) in
        if let context { return context }
        let made = try LibUSBContext(registry)
        context = made
        return made
      }
    } catch {
      throw .notFound(
        device: name,
        reason: "USB cannot be used on this computer (libusb: \(libUSBText(error.number))). "
          + LibUSBAdvice.noUSB)
    }
  }

  /// The device with the serial number that was asked for, or the only one.
  private func one(of candidates: [LibUSBDevice], _ wanted: USBMatch, _ context: LibUSBContext, _ name: String)
    throws(USBError) -> LibUSBDevice
  {
    if wanted.serial == nil, let only = candidates.first, candidates.count == 1 { return only }
    let all = candidates.map { device in (device: device, told: context.facts(of: device)) }
    if let serial = wanted.serial {
      let matching = all.filter { $0.told.facts.serial == serial }
      if let first = matching.first { return first.device }
      // It may be the one that cannot be asked.
      if let closed = all.first(where: { $0.told.code != 0 }) {
        throw LibUSBAdvice.cannotOpen(closed.device, closed.told.facts, closed.told.code, name)
      }
      throw .notFound(
        device: name,
        reason: "no \(wanted.description) is plugged in; there is "
          + all.map { LibUSBAdvice.line($0.told.facts) }.joined(separator: ", "))
    }
    throw .notFound(
      device: name,
      reason: "\(candidates.count) devices could be meant. Say which by its serial number (usb: "
        + "\"VENDOR:PRODUCT:SERIAL\"): " + all.map { LibUSBAdvice.line($0.told.facts) }.joined(separator: ", "))
  }

  /// Opens a device and claims its interfaces.
  private func take(_ device: LibUSBDevice, _ interface: USBInterface, _ context: LibUSBContext, _ name: String)
    throws(USBError) -> LibUSBTransport
  {
    let (opened, code) = LibUSBTraffic.open(device, context, name: name)
    guard let traffic = opened else { throw LibUSBAdvice.cannotOpen(device, device.facts, code, name) }
    // Both of a CDC function; its communication interface first, which its kernel driver hangs on.
    var numbers = [interface.controlNumber]
    if interface.number != interface.controlNumber { numbers.append(interface.number) }
    let claimed = traffic.claim(numbers, configuration: interface.configuration)
    guard claimed == 0 else {
      let error = LibUSBAdvice.cannotClaim(device, interface, claimed, name)
      traffic.close()
      throw error
    }
    return LibUSBTransport(device: context.facts(of: device, traffic), interface: interface, traffic)
  }

  private func missing(
    _ wanted: USBMatch, _ kind: USBInterfaceKind, among present: [LibUSBDevice], _ context: LibUSBContext
  ) -> String {
    guard !present.isEmpty else {
      return "\(wanted.description) was looked for, and no USB device at all is to be seen. " + LibUSBAdvice.noUSB
    }
    let listed = present.prefix(LibUSBAdvice.mostListed).map { LibUSBAdvice.line(context.facts(of: $0).facts) }
    let more = present.count > listed.count ? " and \(present.count - listed.count) more" : ""
    let other = present.contains {
      wanted.id == USBMatch.ID(vendor: $0.facts.vendor, product: $0.facts.product)
    }
    let reason =
      other
      ? "\(wanted.description) is plugged in, but has no interface of the kind that is spoken (\(kind.words))"
      : "\(wanted.description) (\(kind.words)) is not plugged in or switched off"
    return "\(reason). There is: " + listed.joined(separator: ", ") + more
  }
}
