package import EmulatedUSB
import Linux
package import Quantities
package import USB

/// A bus straight on emulated devices: no socket, no kernel. For tests that need many cases, or time-outs.
///
/// A thread of the bus lets time pass for the devices and hands out what listeners hear. Every time limit is multiplied
/// by `patience`, so that with 0.01 a test of time-outs takes milliseconds.
package final class InProcessBus: USBBus {
  fileprivate enum Event: Sendable {
    case heard(InProcessTransport.Listener, USBCompletion, MonotonicTime)
  }

  fileprivate static let mostEvents = 1 << 14
  private static let tickTime = Seconds(0.001)

  private struct State {
    var watchers: [@Sendable (USBChange) -> Void] = []
    var isEnding = false
  }

  private let devices: [EmulatedUSBDevice]
  private let patience: Double
  private let state = Monitor(State())
  private let events = BoundedQueue<Event>(limit: mostEvents)
  private let steps: Steps
  private let thread: NamedThread?

  package init(devices: [EmulatedUSBDevice], patience: Double = 1) {
    self.devices = devices
    self.patience = patience
    let steps = Steps(devices, state, events)
    self.steps = steps
    thread = NamedThread("usb-in-process") { [state, events] in
      while !state.read({ $0.isEnding }) {
        _ = events.pop(atMost: Self.tickTime).map(Steps.tell)
        steps.take(at: .now)
      }
    }
  }

  /// A bus without a thread of its own, in simulated time: `step` is called by the clock.
  package init(simulating devices: [EmulatedUSBDevice]) {
    self.devices = devices
    patience = 1
    steps = Steps(devices, state, events)
    thread = nil
  }

  /// Lets time pass for the devices, and hands out what listeners hear.
  package func step(_ now: MonotonicTime) { steps.take(at: now) }

  deinit {
    state.update { $0.isEnding = true }
    events.close()
    // What was not handed out holds its listener, and that holds the queue.
    _ = events.drain()
  }

  /// Ends the bus's thread and waits for it.
  package func end() {
    state.update { $0.isEnding = true }
    events.close()
    thread?.join()
  }

  /// Transfers submitted to that device so far, on all endpoints: what `USBFault(endpoint: nil, transfer: n)` counts on.
  package func transferCount(of device: EmulatedUSBDevice) -> Int { device.transferCount }

  package func watch(_ changed: @escaping @Sendable (USBChange) -> Void) {
    state.update { $0.watchers.append(changed) }
  }

  package func open(_ wanted: USBMatch, _ kind: USBInterfaceKind, name: String) throws(USBError) -> any USBTransport {
    for device in devices where device.isPlugged && wanted.matches(USBDeviceFacts(device.descriptors)) {
      guard let interface = USBInterface.first(kind, in: device.descriptors.configuration) else { continue }
      let gone = Monitor(false)
      guard let token = device.attach({ gone.update { $0 = true } }) else {
        throw .notFound(device: name, reason: "another program holds it")
      }
      return InProcessTransport(
        device, token: token, interface: interface, name: name, patience: patience, events: events)
    }
    throw .notFound(device: name, reason: "the bus in process has no \(wanted.description)")
  }

  /// What happens on the bus at each step of time; on one thread.
  private final class Steps: @unchecked Sendable {
    private let devices: [EmulatedUSBDevice]
    private let state: Monitor<State>
    private let events: BoundedQueue<Event>
    private var changes: [Int]

    init(_ devices: [EmulatedUSBDevice], _ state: Monitor<State>, _ events: BoundedQueue<Event>) {
      self.devices = devices
      self.state = state
      self.events = events
      changes = devices.map(\.plugChanges)
    }

    func take(at now: MonotonicTime) {
      for (number, device) in devices.enumerated() {
        device.tick(now)
        let plugChanges = device.plugChanges
        guard plugChanges != changes[number] else { continue }
        // Pulled and put back between two looks: both are told.
        let facts = USBDeviceFacts(device.descriptors)
        let told: [USBChange] =
          plugChanges - changes[number] > 1
          ? (device.isPlugged ? [.left(facts), .arrived(facts)] : [.arrived(facts), .left(facts)])
          : [device.isPlugged ? .arrived(facts) : .left(facts)]
        changes[number] = plugChanges
        let watchers = state.read { $0.watchers }
        for change in told { for watcher in watchers { watcher(change) } }
      }
      for event in events.drain() { Self.tell(event) }
    }

    static func tell(_ event: Event) {
      if case .heard(let listener, let completion, let arrival) = event { listener.take(completion, at: arrival) }
    }
  }
}

extension USBDeviceFacts {
  init(_ descriptors: USBDescriptors) {
    self.init(
      vendor: descriptors.vendor, product: descriptors.product, release: descriptors.release,
      serial: descriptors.serial, manufacturerName: descriptors.manufacturerName, productName: descriptors.productName)
  }
}

/// One device of an `InProcessBus`.
final class InProcessTransport: USBTransport {
  let device: USBDeviceFacts
  let interface: USBInterface
  private let emulated: EmulatedUSBDevice
  private let token: UInt64
  private let name: String
  private let patience: Double
  private let events: BoundedQueue<InProcessBus.Event>
  /// Nothing is posted any more; held while something is.
  private let closed = Monitor(false)
  /// Names of transfers, on all buses together.
  private static let lastTag = Monitor<UInt64>(0)

  fileprivate init(
    _ emulated: EmulatedUSBDevice, token: UInt64, interface: USBInterface, name: String, patience: Double,
    events: BoundedQueue<InProcessBus.Event>
  ) {
    device = USBDeviceFacts(emulated.descriptors)
    self.emulated = emulated
    self.token = token
    self.interface = interface
    self.name = name
    self.patience = patience
    self.events = events
  }

  deinit { close() }

  func close() {
    closed.update { $0 = true }
    emulated.detach(token)
  }

  private static func nextTag() -> UInt64 {
    lastTag.update { tag in
      tag += 1
      return tag
    }
  }

  func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8] {
    let packet = USBSetupPacket(
      requestType: setup.requestType, request: setup.request, value: setup.value, index: setup.index,
      length: setup.length)
    return try perform([USBRequestBlock(setup: packet, data: sending)], within: limit)
  }

  func send(_ bytes: [UInt8], to endpoint: UInt8, endingWithZeroPacket: Bool, within limit: Seconds) throws(USBError) {
    var request = USBRequestBlock(endpoint: endpoint, sending: bytes)
    request.endsWithZeroPacket = endingWithZeroPacket
    _ = try perform([request], within: limit)
  }

  func receive(_ most: Int, from endpoint: UInt8, within limit: Seconds) throws(USBError) -> [UInt8] {
    try perform([USBRequestBlock(endpoint: endpoint, receiving: most)], within: limit)
  }

  func exchange(_ messages: [[UInt8]], to out: UInt8, receiving most: Int, from in: UInt8, within limit: Seconds)
    throws(USBError) -> [UInt8]
  {
    try perform(
      messages.map { USBRequestBlock(endpoint: out, sending: $0) }
        + [USBRequestBlock(endpoint: `in`, receiving: most)], within: limit)
  }

  func clearHalt(_ endpoint: UInt8) throws(USBError) {
    _ = try control(USBSetup(0x02, 1, index: UInt16(endpoint)), sending: [], within: Seconds(0.3))
  }

  func reset() throws(USBError) {
    _ = try control(
      USBSetup(0x00, 9, value: UInt16(interface.configuration)), sending: [], within: Seconds(0.3))
  }

  /// Submits all and waits for all; when one before the last fails, the rest is taken back.
  private func perform(_ requests: [USBRequestBlock], within limit: Seconds) throws(USBError) -> [UInt8] {
    let ended = Monitor<[UInt64: USBCompletion]>([:])
    let tags = requests.map { _ in Self.nextTag() }
    for (request, tag) in zip(requests, tags) {
      emulated.submit(request, tag: tag) { completion in ended.update { $0[tag] = completion } }
    }
    let failure = ended.wait(atMost: Seconds(limit.value * patience)) { ended -> Int?? in
      for (number, tag) in tags.enumerated() {
        guard let completion = ended[tag] else { return nil }
        if completion.status != 0 && completion.status != USBStatus.shortRead { return .some(number) }
      }
      return .some(nil)
    }
    if case .some(.none) = failure { return ended.read { $0[tags[tags.count - 1]]?.data ?? [] } }
    var partial: [UInt8] = []
    for tag in tags {
      emulated.cancel(tag: tag) { wasPending, moved in
        if wasPending, tag == tags.last { partial = moved?.data ?? [] }
      }
    }
    if case .some(.some(let number)) = failure {
      throw Self.error(
        ended.read { $0[tags[number]]?.status ?? 0 }, name: name, endpoint: requests[number].endpoint)
    }
    // Out of time: what had come by then is not lost.
    let isLastOnly = ended.read { ended in tags.dropLast().allSatisfy { ended[$0] != nil } }
    if isLastOnly {
      if let late = ended.read({ $0[tags[tags.count - 1]] }), late.status == 0 { return late.data }
      if !partial.isEmpty { return partial }
    }
    let waiting = tags.firstIndex { tag in ended.read { $0[tag] == nil } } ?? 0
    throw .timedOut(device: name, operation: "endpoint \(requests[waiting].endpoint)")
  }

  fileprivate static func error(_ status: Int32, name: String, endpoint: UInt8) -> USBError {
    switch status {
    case USBStatus.stalled: .stalled(device: name, endpoint: endpoint)
    case USBStatus.noDevice, USBStatus.shutdown, USBStatus.cancelled: .disconnected(device: name)
    default: .malformed(device: name, reason: "transfer ended with status \(status)")
    }
  }

  // MARK: listening

  /// Its transfers are renewed by the bus's thread, which also tells what they brought.
  final class Listener: Sendable {
    private let emulated: EmulatedUSBDevice
    private let request: USBRequestBlock
    private let name: String
    private let events: BoundedQueue<InProcessBus.Event>
    private let heard: @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void
    private let closed: Monitor<Bool>
    private let hasEnded = Monitor(false)

    fileprivate init(
      _ emulated: EmulatedUSBDevice, _ request: USBRequestBlock, name: String,
      events: BoundedQueue<InProcessBus.Event>, closed: Monitor<Bool>,
      _ heard: @escaping @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void
    ) {
      self.emulated = emulated
      self.request = request
      self.name = name
      self.events = events
      self.closed = closed
      self.heard = heard
    }

    fileprivate func post() {
      closed.read { isClosed in
        guard !isClosed else { return }
        emulated.submit(request, tag: InProcessTransport.nextTag()) { [self] completion in
          events.push(.heard(self, completion, .now))
        }
      }
    }

    fileprivate func take(_ completion: USBCompletion, at arrival: MonotonicTime) {
      guard !hasEnded.read({ $0 }), !closed.read({ $0 }) else { return }
      if completion.status == 0 {
        post()
        return heard(.success(completion.data), arrival)
      }
      hasEnded.update { $0 = true }
      heard(
        .failure(InProcessTransport.error(completion.status, name: name, endpoint: request.endpoint)), arrival)
    }
  }

  func listen(
    to endpoint: UInt8, transfers: Int, most: Int,
    _ heard: @escaping @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void
  ) {
    let listener = Listener(
      emulated, USBRequestBlock(endpoint: endpoint, receiving: most), name: name, events: events,
      closed: closed, heard)
    for _ in 0..<transfers { listener.post() }
  }
}
