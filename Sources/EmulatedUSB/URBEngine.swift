import Quantities

/// Transfers, endpoint queues and halts of one device. Used by one thread at a time: `EmulatedUSBDevice` holds the lock.
final class URBEngine {
  struct Pending {
    let tag: UInt64
    let request: USBRequestBlock
    let completion: EmulatedUSBDevice.Completion
    var fault: USBFault.Kind?
    /// Not before this instant (fault `delay`).
    var notBefore: MonotonicTime?
    /// Bytes the device has taken or given so far.
    var moved = 0
    var received: [UInt8] = []
  }

  struct Endpoint {
    let address: UInt8
    let maximumPacket: Int
    var queue: [Pending] = []
    var isHalted = false
    var submitted = 0
  }

  let function: any USBFunction
  let descriptors: USBDescriptors
  private let clock: () -> MonotonicTime
  /// Endpoint 0 first, then those to the device, then those from it.
  var endpoints: [Endpoint]
  private var faults: [(endpoint: UInt8?, ordinal: Int, kind: USBFault.Kind)] = []
  /// Transfers taken in on all endpoints together, from the beginning.
  private(set) var submitted = 0
  /// How often the cable was pulled or put in.
  private(set) var plugChanges = 0
  private var replugAt: MonotonicTime?
  private var bytesInFlight = 0
  private(set) var isPlugged = true
  /// A device that is exported has been configured by the machine it is plugged into, as with Linux's usbip-host.
  var configuration: UInt8
  private var holder: (token: UInt64, unplugged: @Sendable () -> Void)?
  private var nextToken: UInt64 = 1
  var cableWatchers: [@Sendable (Bool) -> Void] = []

  init(_ function: any USBFunction, clock: @escaping () -> MonotonicTime) {
    self.function = function
    self.clock = clock
    descriptors = function.descriptors
    configuration = descriptors.configurationValue
    let all = descriptors.interfaces.flatMap(\.endpoints).sorted { !$0.isIn && $1.isIn }
    endpoints =
      [Endpoint(address: 0, maximumPacket: 64)]
      + all.map { Endpoint(address: $0.address, maximumPacket: $0.maximumPacket) }
  }

  var pendingCount: Int { endpoints.reduce(0) { $0 + $1.queue.count } }
  var isAttached: Bool { holder != nil }

  func submit(_ request: USBRequestBlock, tag: UInt64, _ completion: @escaping EmulatedUSBDevice.Completion) {
    func refuse(_ status: Int32) { completion(USBCompletion(status: status, moved: 0)) }
    guard isPlugged else { return refuse(USBStatus.noDevice) }
    guard let at = endpoints.firstIndex(where: { $0.address == request.endpoint }),
      (request.endpoint == 0) == (request.setup != nil)
    else { return refuse(USBStatus.noEndpoint) }
    guard !endpoints.contains(where: { $0.queue.contains { $0.tag == tag } }) else { return refuse(USBStatus.invalid) }
    guard bytesInFlight + request.cost <= EmulatedUSBDevice.maximumBytesInFlight,
      pendingCount < EmulatedUSBDevice.maximumTransfersInFlight
    else { return refuse(USBStatus.noMemory) }
    // A halted endpoint refuses at once, as the host controller does.
    guard !endpoints[at].isHalted else { return refuse(USBStatus.stalled) }

    bytesInFlight += request.cost
    endpoints[at].submitted += 1
    submitted += 1
    let ordinal = (one: endpoints[at].submitted, all: submitted)
    var pending = Pending(tag: tag, request: request, completion: completion)
    let which = faults.firstIndex {
      $0.endpoint == nil ? $0.ordinal == ordinal.all : $0.endpoint == request.endpoint && $0.ordinal == ordinal.one
    }
    if let which {
      pending.fault = faults.remove(at: which).kind
      if case .delay(let span) = pending.fault { pending.notBefore = clock() + span }
    }
    endpoints[at].queue.append(pending)
    pump()
  }

  /// Takes a transfer out of its queue; nil when there is none of that tag.
  func cancel(_ tag: UInt64) -> USBCompletion? {
    for at in endpoints.indices {
      guard let which = endpoints[at].queue.firstIndex(where: { $0.tag == tag }) else { continue }
      let pending = endpoints[at].queue.remove(at: which)
      bytesInFlight -= pending.request.cost
      return USBCompletion(status: USBStatus.cancelled, data: pending.received, moved: pending.moved)
    }
    return nil
  }

  func tick(_ now: MonotonicTime) {
    guard isPlugged else {
      // An instrument with its own supply lives on without its cable.
      function.tick(now)
      if let replugAt, clock() >= replugAt { plug() }
      return
    }
    function.tick(now)
    pump()
  }

  /// Moves packets until every queue waits for the device or is empty.
  func pump() {
    var moving = isPlugged
    while moving {
      moving = false
      for at in endpoints.indices {
        while isPlugged, step(at) { moving = true }
      }
      moving = moving && isPlugged
    }
  }

  /// Works on the first transfer of an endpoint; true when that transfer ended.
  private func step(_ at: Int) -> Bool {
    guard let head = endpoints[at].queue.first else { return false }
    if let notBefore = head.notBefore, clock() < notBefore { return false }
    switch head.fault {
    case .stall:
      finish(at, USBStatus.stalled, halting: true)
      return true
    case .timeOut: return false
    case .unplug:
      unplug()
      return true
    case .unplugAndReplug(let span):
      unplug()
      replugAt = clock() + span
      return true
    default: break
    }
    if let setup = head.request.setup { return stepControl(at, setup) }
    return endpoints[at].address & 0x80 == 0 ? stepOut(at) : stepIn(at)
  }

  private func stepControl(_ at: Int, _ setup: USBSetupPacket) -> Bool {
    let request = endpoints[at].queue[0].request
    let reply =
      setup.isStandard ? answerStandard(setup) : function.control(setup, faulty(request.data, endpoints[at].queue[0]))
    switch reply {
    case .nak: return false
    case .stall: finish(at, USBStatus.stalled)  // Endpoint 0 is never left halted (USB 2.0 §8.5.3.4).
    case .ack(let bytes):
      if setup.isIn {
        let kept = Array(bytes.prefix(min(Int(setup.length), request.length)))
        endpoints[at].queue[0].received = faulty(kept, endpoints[at].queue[0])
        endpoints[at].queue[0].moved = endpoints[at].queue[0].received.count
      } else {
        endpoints[at].queue[0].moved = request.data.count
      }
      finish(at, USBStatus.ok)
    }
    return true
  }

  private func stepOut(_ at: Int) -> Bool {
    let address = endpoints[at].address
    let maximum = endpoints[at].maximumPacket
    let data = faulty(endpoints[at].queue[0].request.data, endpoints[at].queue[0])
    while true {
      let moved = endpoints[at].queue[0].moved
      let packet = Array(data[moved..<min(data.count, moved + maximum)])
      switch function.out(address, packet) {
      case .nak: return false
      case .stall:
        finish(at, USBStatus.stalled, halting: true)
        return true
      case .ack:
        endpoints[at].queue[0].moved = moved + packet.count
        let wantsMore =
          endpoints[at].queue[0].request.endsWithZeroPacket && packet.count == maximum && moved + maximum == data.count
        if moved + packet.count == data.count && !wantsMore {
          finish(at, USBStatus.ok)
          return true
        }
      }
    }
  }

  private func stepIn(_ at: Int) -> Bool {
    let address = endpoints[at].address
    let maximum = endpoints[at].maximumPacket
    while true {
      let request = endpoints[at].queue[0].request
      switch function.in(address, maximum) {
      case .nak: return false
      case .stall:
        finish(at, USBStatus.stalled, halting: true)
        return true
      case .ack(let packet):
        let room = request.length - endpoints[at].queue[0].moved
        endpoints[at].queue[0].received += packet.prefix(room)
        endpoints[at].queue[0].moved += min(packet.count, room)
        if packet.count > room {
          finish(at, USBStatus.babble)
          return true
        }
        if packet.count < maximum, endpoints[at].queue[0].fault == .withoutEnd {
          // Marked as held up: the packets of what comes next are not for this transfer.
          endpoints[at].queue[0].fault = .timeOut
          return false
        }
        if packet.count < maximum || packet.count == room {
          let received = faulty(endpoints[at].queue[0].received, endpoints[at].queue[0])
          endpoints[at].queue[0].received = received
          endpoints[at].queue[0].moved = received.count
          let isShort = received.count < request.length && request.shortIsError
          finish(at, isShort ? USBStatus.shortRead : USBStatus.ok)
          return true
        }
      }
    }
  }

  private func faulty(_ bytes: [UInt8], _ pending: Pending) -> [UInt8] {
    switch pending.fault {
    case .short(let count): return Array(bytes.prefix(max(0, count)))
    case .garbage(let seed):
      var state = seed | 1
      return bytes.map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state >> 24)
      }
    default: return bytes
    }
  }

  private func finish(_ at: Int, _ status: Int32, halting: Bool = false) {
    let pending = endpoints[at].queue.removeFirst()
    bytesInFlight -= pending.request.cost
    pending.completion(USBCompletion(status: status, data: pending.received, moved: pending.moved))
    guard halting, endpoints[at].address != 0 else { return }
    endpoints[at].isHalted = true
    while !endpoints[at].queue.isEmpty { finish(at, USBStatus.stalled) }
  }

  func inject(_ fault: USBFault) {
    guard let address = fault.endpoint else {
      faults.append((nil, submitted + fault.transfer, fault.kind))
      return
    }
    guard let endpoint = endpoints.first(where: { $0.address == address }) else { return }
    faults.append((address, endpoint.submitted + fault.transfer, fault.kind))
  }

  func forgetFaults() { faults = [] }

  // MARK: the cable

  func unplug() {
    guard isPlugged else { return }
    isPlugged = false
    plugChanges += 1
    function.unplugged()
    for at in endpoints.indices {
      while !endpoints[at].queue.isEmpty { finish(at, USBStatus.shutdown) }
      endpoints[at].isHalted = false
    }
    let told = holder
    holder = nil
    told?.unplugged()
    for watcher in cableWatchers { watcher(false) }
  }

  func plug() {
    guard !isPlugged else { return }
    isPlugged = true
    plugChanges += 1
    replugAt = nil
    configuration = descriptors.configurationValue
    function.plugged()
    for watcher in cableWatchers { watcher(true) }
  }

  func attach(_ unplugged: @escaping @Sendable () -> Void) -> UInt64? {
    guard isPlugged, holder == nil else { return nil }
    let token = nextToken
    nextToken += 1
    holder = (token, unplugged)
    return token
  }

  func detach(_ token: UInt64, keepsConversation: Bool) {
    guard let now = holder, now.token == token else { return }
    holder = nil
    if keepsConversation { return }
    for at in endpoints.indices {
      for pending in endpoints[at].queue { bytesInFlight -= pending.request.cost }
      endpoints[at].queue = []
      endpoints[at].isHalted = false
    }
    function.hostGone()
  }
}
