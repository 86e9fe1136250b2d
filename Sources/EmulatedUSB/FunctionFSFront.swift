import Glibc
package import Linux
import Quantities

/// An emulated device as a USB gadget: the kernel of a computer with a device controller carries its packets.
///
/// One thread for endpoint 0 and one for each other endpoint. Every transfer is one packet, so that the device sees
/// what a device sees. The gadget around it (vendor, product, strings, binding) is made in configfs by others.
package final class FunctionFSFront: @unchecked Sendable {
  private let device: EmulatedUSBDevice
  private let control: FileDescriptor
  private let endpoints: [FunctionFSEndpoint]
  private let state = FunctionFSState()
  private let report: @Sendable (String) -> Void
  private let directory: String
  private var threads: [NamedThread] = []

  /// A control request that the device does not answer within this is refused.
  private static let controlPatience = Seconds(1)
  /// Longest data stage of a control request to the device.
  private static let maximumControlData = 4096

  /// Takes the mounted FunctionFS at `directory`; after it the gadget can be bound.
  /// - Parameter report: told when a host configures the device and when it is gone; must not block.
  package init(_ directory: String, _ device: EmulatedUSBDevice, report: @escaping @Sendable (String) -> Void)
    throws(LinuxError)
  {
    self.device = device
    self.directory = directory
    self.report = report
    control = try FileDescriptor.open("\(directory)/ep0", O_RDWR)
    try Self.tell(control, FunctionFS.descriptors(device.descriptors), "descriptors, \(directory)/ep0")
    try Self.tell(control, FunctionFS.strings, "strings, \(directory)/ep0")
    var endpoints: [FunctionFSEndpoint] = []
    for (place, endpoint) in device.descriptors.interfaces.flatMap(\.endpoints).enumerated() {
      endpoints.append(try FunctionFSEndpoint(endpoint, "\(directory)/ep\(place + 1)", device, state))
    }
    self.endpoints = endpoints
    // The cable is out until a host configures the device.
    device.unplug()
    threads = endpoints.map { endpoint in NamedThread("gadget-ep") { endpoint.run() } }
    threads.append(NamedThread("gadget-ep0") { [self] in serve() })
  }

  /// A host has configured the device.
  package var isEnabled: Bool { state.isEnabled }

  /// Ends all threads; the kernel then unbinds the gadget.
  package func stop() {
    state.stop()
    device.unplug()
    for thread in threads { thread.join() }
  }

  private static func tell(_ file: borrowing FileDescriptor, _ bytes: [UInt8], _ what: String) throws(LinuxError) {
    guard unsafe write(file.number, bytes, bytes.count) == bytes.count else { throw LinuxError("write", what) }
  }

  private func serve() {
    var buffer = [UInt8](repeating: 0, count: FunctionFS.Event.size * 4)
    while !state.isStopping {
      var entry = pollfd(fd: control.number, events: Int16(POLLIN), revents: 0)
      guard unsafe poll(&entry, 1, Int32(FunctionFSState.patience.value * 1000)) > 0 else { continue }
      let count = unsafe read(control.number, &buffer, buffer.count)
      guard count > 0 else {
        // EIDRM says that a setup packet was overtaken by the next one; the rest is transient too.
        sleepThread(for: Seconds(0.001))
        continue
      }
      for at in stride(from: 0, to: count - FunctionFS.Event.size + 1, by: FunctionFS.Event.size) {
        handle(FunctionFS.Event(Array(buffer[at..<at + FunctionFS.Event.size])))
      }
    }
  }

  private func handle(_ event: FunctionFS.Event) {
    switch event {
    case .enabled:
      device.plug()
      state.enable(true)
      report("\(device.descriptors.productName): configured by a host (\(directory))")
    case .disabled:
      guard state.isEnabled else { return }
      // A reset by the host looks the same; the instrument loses its host in both cases.
      state.enable(false)
      device.unplug()
      report("\(device.descriptors.productName): no host any more (\(directory))")
    case .setup(let setup):
      answer(FunctionFS.translated(setup, device.descriptors.interfaces.flatMap(\.endpoints)))
    case .other: break
    }
  }

  // MARK: control requests

  private func answer(_ setup: USBSetupPacket) {
    var data: [UInt8] = []
    if !setup.isIn && setup.length > 0 {
      guard setup.length <= Self.maximumControlData, let sent = receive(Int(setup.length)) else { return refuse(setup) }
      data = sent
    }
    guard let done = transfer(setup, data), done.status == USBStatus.ok else {
      // Data was taken together with the status stage: too late to refuse.
      if setup.isIn || setup.length == 0 { refuse(setup) }
      return
    }
    if empties(setup) { state.interruptStale() }
    for endpoint in endpoints { endpoint.noteRequest() }
    if setup.isIn {
      unsafe _ = write(control.number, done.data, done.data.count)
    } else if setup.length == 0 {
      var nothing: UInt8 = 0
      unsafe _ = read(control.number, &nothing, 0)
    }
  }

  private func transfer(_ setup: USBSetupPacket, _ data: [UInt8]) -> USBCompletion? {
    let tag = state.newTag()
    let answer = Monitor<USBCompletion?>(nil)
    let isClear = empties(setup)
    let state = state
    device.submit(USBRequestBlock(setup: setup, data: data), tag: tag) { completion in
      // Under the device's lock: packets made before belong to the time before the clear.
      if isClear && completion.status == USBStatus.ok { state.noteClear() }
      answer.update { $0 = completion }
    }
    if let completion = answer.wait(atMost: Self.controlPatience, for: { $0 }) { return completion }
    device.cancel(tag: tag)
    return nil
  }

  /// INITIATE_CLEAR of USBTMC also empties what the controller holds for the host (usbtmc.md §5).
  private func empties(_ setup: USBSetupPacket) -> Bool {
    setup.requestType == 0xA1 && setup.request == USBTMCRequest.initiateClear
      && device.descriptors.interfaces.contains { $0.classCode == 0xFE && $0.subclassCode == 0x03 }
  }

  private func receive(_ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    let got = unsafe read(control.number, &bytes, count)
    return got == count ? bytes : nil
  }

  /// The wrong direction on endpoint 0 is a STALL.
  private func refuse(_ setup: USBSetupPacket) {
    var nothing: UInt8 = 0
    unsafe _ = setup.isIn ? read(control.number, &nothing, 0) : write(control.number, &nothing, 0)
  }
}
