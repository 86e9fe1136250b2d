import EmulatedUSB
import Glibc
import Linux

/// A transfer that has ended and waits to be reaped by the program that submitted it.
struct EndedTransfer {
  /// Address of the program's URB.
  var urb: UInt64
  /// Where the program takes what the device sent; nil for a transfer to the device.
  var buffer: UInt64?
  var setup: USBSetupPacket?
  var cost: Int
  var completion: USBCompletion
}

/// One device from plugging in to pulling out: its device file, what waits to be reaped, and who holds it.
final class DeviceNode: @unchecked Sendable {
  private struct State {
    let terminal: DeviceTerminal
    var isGone = false
    var ended: [Int: [EndedTransfer]] = [:]
    /// Answers to calls that a program waits in, by handle.
    var answers: [Int: USBCompletion] = [:]
  }

  let index: Int
  let device: EmulatedUSBDevice
  let endpoints: EndpointNumbers
  let address: Int
  let terminalPath: String
  private let state: Monitor<State>

  // Used by the mock's thread alone.
  /// Kernel drivers that are bound, by interface.
  var drivers: [UInt8: String] = [:]
  /// Handles that have claimed an interface.
  var claims: [UInt8: Int] = [:]
  /// The device is taken, for as long as an interface is claimed.
  private var token: UInt64?

  init(index: Int, _ device: EmulatedUSBDevice, address: Int, options: MockUSBFS.Options) throws(LinuxError) {
    self.index = index
    self.device = device
    self.address = address
    endpoints = EndpointNumbers(device.descriptors, renumbers: options.renumbersEndpoints)
    let terminal = try DeviceTerminal()
    terminalPath = terminal.path
    state = Monitor(State(terminal: terminal))
    if options.hasKernelDrivers { for interface in device.descriptors.interfaces { bindDriver(of: interface.number) } }
  }

  var port: Int { index + 1 }
  var isGone: Bool { state.read { $0.isGone } }

  // MARK: what has ended

  /// A transfer is over. Called from any thread, most often under the device's lock.
  func end(_ transfer: EndedTransfer, of handle: Int) {
    state.update { state in
      state.ended[handle, default: []].append(transfer)
      state.terminal.letFlow(true)
    }
  }

  /// The oldest transfer of a handle that is over.
  func reap(for handle: Int) -> EndedTransfer? {
    state.update { state in
      guard var ended = state.ended[handle], !ended.isEmpty else { return nil }
      let first = ended.removeFirst()
      state.ended[handle] = ended.isEmpty ? nil : ended
      state.terminal.letFlow(!state.ended.isEmpty)
      return first
    }
  }

  func answer(_ completion: USBCompletion, to handle: Int) { state.update { $0.answers[handle] = completion } }
  func takeAnswer(for handle: Int) -> USBCompletion? { state.update { $0.answers.removeValue(forKey: handle) } }

  /// A handle was closed: nobody reaps its transfers any more.
  /// - Returns: the bytes of memory they had.
  func forget(_ handle: Int) -> Int {
    state.update { state in
      state.answers[handle] = nil
      let freed = (state.ended.removeValue(forKey: handle) ?? []).reduce(0) { $0 + $1.cost }
      state.terminal.letFlow(!state.ended.isEmpty)
      return freed
    }
  }

  // MARK: the cable

  /// From now on no call reaches the device. From any thread.
  func markGone() { state.update { $0.isGone = true } }

  /// The device file says that the device is gone.
  func hangUp() {
    state.update { state in
      state.isGone = true
      state.terminal.hangUp()
    }
    claims = [:]
    token = nil
  }

  // MARK: who holds it

  func hasInterface(_ number: UInt8) -> Bool { device.descriptors.interfaces.contains { $0.number == number } }

  func interface(with endpoint: UInt8) -> UInt8? {
    device.descriptors.interfaces.first { $0.endpoints.contains { $0.address == endpoint } }?.number
  }

  /// 0, or the error number that usbfs gives.
  func claim(_ interface: UInt8, for handle: Int) -> Int32 {
    guard hasInterface(interface) else { return ENOENT }
    if claims[interface] == handle { return 0 }
    guard claims[interface] == nil, drivers[interface] == nil else { return EBUSY }
    if token == nil {
      token = device.attach {}
      // Somebody has it by another way, such as USB/IP.
      guard token != nil else { return device.isPlugged ? EBUSY : ENODEV }
    }
    claims[interface] = handle
    return 0
  }

  func release(_ interface: UInt8, by handle: Int) -> Int32 {
    guard hasInterface(interface) else { return ENOENT }
    guard claims[interface] == handle else { return EINVAL }
    claims[interface] = nil
    if claims.isEmpty, let token {
      // The device does not learn that a program let go of it, as with real ones.
      device.detach(token, keepsConversation: true)
      self.token = nil
    }
    return 0
  }

  /// Binds the driver that Linux has for an interface; false where it has none.
  @discardableResult
  func bindDriver(of interface: UInt8) -> Bool {
    guard let found = device.descriptors.interfaces.first(where: { $0.number == interface }) else { return false }
    let name: String? =
      switch (found.classCode, found.subclassCode) {
      case (0xFE, 0x03): "usbtmc"
      case (0x02, 0x02), (0x0A, _): "cdc_acm"
      case (0xFF, _) where device.descriptors.vendor == 0x0403: "ftdi_sio"
      default: nil
      }
    drivers[interface] = name
    return name != nil
  }
}
