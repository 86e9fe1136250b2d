import EmulatedUSB
import Glibc
import Linux
import Quantities

/// The thread of a mock: the one that answers programs, and that takes devices in and out.
///
/// One `poll` over everything; without traffic it uses no processor time.
final class MockHost: @unchecked Sendable {
  /// How long programs may keep handles open after the end.
  static let patienceAtEnd = Seconds(1)
  /// As many handles as programs may have at once.
  static let maximumHandles = 256
  /// Addresses of devices on a bus: 1 is the root hub, 127 the highest (USB 2.0 §9.4.6).
  private static let addresses = 2...127

  private let devices: [EmulatedUSBDevice]
  private let options: MockUSBFS.Options
  private let signals: HostSignals
  private let tree: DeviceTree
  private let messages: HotplugMessages
  private let fallback: UnixListener
  /// Programs that opened some other device file; told each time that it is not ours.
  private var bystanders: [UnixStream] = []
  private var nodes: [Int: DeviceNode] = [:]
  private var listeners: [Int: UnixListener] = [:]
  private var handles: [OpenHandle] = []
  private var lastAddress = 1
  private var lastHandle = 0
  private let memory = TransferMemory()
  private var endsAt: MonotonicTime?

  init(root: String, devices: [EmulatedUSBDevice], options: MockUSBFS.Options, signals: HostSignals)
    throws(LinuxError)
  {
    self.devices = devices
    self.options = options
    self.signals = signals
    tree = DeviceTree(root: root)
    try tree.make()
    messages = try HotplugMessages(tree)
    messages.removeAbandoned()
    fallback = try UnixListener(tree.defaultSocket)
    for index in devices.indices where devices[index].isPlugged { try plug(index) }
  }

  // MARK: the loop

  func serve() {
    while true {
      if let endsAt, handles.isEmpty || MonotonicTime.now >= endsAt { break }
      let entries = wait()
      if entries[0].revents != 0 { for message in signals.takeMessages() { take(message) } }
      answerPrograms(Set(entries.lazy.filter { $0.revents != 0 }.map(\.fd)))
      signals.set(openHandles: handles.count)
    }
    handles = []
    tree.remove()
    messages.removeAbandoned()
  }

  private func wait() -> [pollfd] {
    var numbers = [signals.descriptor, fallback.descriptor.number]
    numbers += listeners.values.map { $0.descriptor.number }
    numbers += bystanders.map { $0.descriptor.number }
    numbers += handles.map { $0.stream.descriptor.number }
    var entries = numbers.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    let deadlines = handles.compactMap(\.deadline) + (endsAt.map { [$0] } ?? [])
    let milliseconds = deadlines.min().map { max(0, ($0 - .now).nanoseconds) / 1_000_000 + 1 }
    unsafe _ = poll(&entries, nfds_t(entries.count), Int32(min(milliseconds ?? -1, 60_000)))
    return entries
  }

  private func take(_ message: HostSignals.Message) {
    switch message {
    case .cable(let index, let isPlugged):
      unplug(index)
      if isPlugged, endsAt == nil { try? plug(index) }
    case .end:
      endsAt = .now + Self.patienceAtEnd
      for index in nodes.keys.sorted() { unplug(index) }
    }
  }

  // MARK: programs

  private func answerPrograms(_ ready: Set<Int32>) {
    if ready.contains(fallback.descriptor.number), let stream = try? fallback.accept(within: Seconds(0)) {
      bystanders.append(stream)
    }
    for (index, listener) in listeners where ready.contains(listener.descriptor.number) {
      guard let stream = try? listener.accept(within: Seconds(0)), let node = nodes[index],
        handles.count < Self.maximumHandles
      else { continue }
      lastHandle += 1
      handles.append(OpenHandle(lastHandle, stream, node, memory, options, tree, signals))
    }
    bystanders.removeAll { stream in
      guard ready.contains(stream.descriptor.number) else { return false }
      do throws(LinuxError) {
        _ = try stream.readExactly(ProgramMessage.bytes, within: OpenHandle.patience)
        try stream.write(ProgramMessage.done(ProgramMessage.notHandled, 0))
        return false
      } catch { return true }
    }
    var closed = false
    for handle in handles {
      // Also those that wait in a call, which may have been answered or be late.
      let isOpen = handle.turn(hasInput: ready.contains(handle.stream.descriptor.number))
      if !isOpen {
        handle.close()
        closed = true
      }
    }
    if closed {
      handles.removeAll(where: \.isClosed)
      messages.removeAbandoned()
    }
  }

  // MARK: the cable

  private func plug(_ index: Int) throws(LinuxError) {
    let device = devices[index]
    guard let address = freeAddress() else { throw LinuxError("plug", number: EADDRNOTAVAIL) }
    let node = try DeviceNode(index: index, device, address: address, options: options)
    FileSystem.remove(tree.socket(address))
    let listener = try UnixListener(tree.socket(address))
    try tree.add(
      device.descriptors,
      configurationBytes: node.endpoints.forHost(configuration: device.descriptors.configuration), port: node.port,
      address: address, terminal: node.terminalPath)
    nodes[index] = node
    listeners[index] = listener
    signals.set(node, at: index)
    messages.send("add", device.descriptors, port: node.port, address: address)
  }

  private func unplug(_ index: Int) {
    guard let node = nodes.removeValue(forKey: index) else { return }
    signals.set(nil, at: index)
    listeners[index] = nil
    tree.remove(port: node.port, address: node.address)
    node.markGone()
    for handle in handles where handle.node === node { handle.endTransfers(USBStatus.shutdown) }
    node.hangUp()
    messages.send("remove", node.device.descriptors, port: node.port, address: node.address)
  }

  /// The next address nobody has: a device that comes back has another one.
  private func freeAddress() -> Int? {
    let taken = Set(nodes.values.map(\.address))
    for _ in Self.addresses {
      lastAddress = lastAddress >= Self.addresses.upperBound ? Self.addresses.lowerBound : lastAddress + 1
      if !taken.contains(lastAddress) { return lastAddress }
    }
    return nil
  }
}
