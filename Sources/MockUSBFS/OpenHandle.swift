import CUSBFS
import EmulatedUSB
import Glibc
import Linux
import Quantities

/// One open device file of one program. Its calls come one at a time; the answers are those of Linux' usbfs
/// (`drivers/usb/core/devio.c`). Used by the mock's thread alone, but for ends of transfers.
final class OpenHandle {
  /// What became of a call.
  enum Outcome {
    /// The result, and messages that put bytes into the program's memory before it.
    case done(Int, writing: [UInt8])
    case failed(Int32)
    /// The program waits, as in a synchronous transfer.
    case waits
    case notHandled

    static var done: Outcome { .done(0, writing: []) }
    init(_ error: Int32) { self = error == 0 ? .done : .failed(error) }
  }

  /// A synchronous transfer that the program waits for.
  struct Call {
    var tag: UInt64
    var deadline: MonotonicTime?
    var setup: USBSetupPacket?
    /// Where the answer goes.
    var buffer: UInt64?
    var cost: Int
    /// What is still to be done when it went well.
    var afterwards: (() -> Void)?
  }

  /// How long a program may take over a message that it has begun.
  static let patience = Seconds(2)
  /// USB/IP clients of the same device count from 1 in 32 bits.
  private static let firstTag: UInt64 = 1 << 40

  let number: Int
  let stream: UnixStream
  let node: DeviceNode
  let memory: TransferMemory
  let options: MockUSBFS.Options
  let tree: DeviceTree
  private let signals: HostSignals
  private var call: Call?
  /// Tags of the URBs that have not been reaped, by their addresses.
  var tags: [UInt64: UInt64] = [:]
  /// Their memory, and where the program takes what the device sends.
  var costs: [UInt64: (cost: Int, buffer: UInt64?)] = [:]
  private var lastTag: UInt64
  private var readOffset = 0
  private(set) var isClosed = false

  init(
    _ number: Int, _ stream: UnixStream, _ node: DeviceNode, _ memory: TransferMemory, _ options: MockUSBFS.Options,
    _ tree: DeviceTree, _ signals: HostSignals
  ) {
    self.number = number
    self.stream = stream
    self.node = node
    self.memory = memory
    self.options = options
    self.tree = tree
    self.signals = signals
    lastTag = Self.firstTag + UInt64(number) << 24
  }

  var deadline: MonotonicTime? { call?.deadline }

  func nextTag() -> UInt64 {
    lastTag += 1
    return lastTag
  }

  /// - Returns: false when the program has closed the file, or breaks the protocol.
  func turn(hasInput: Bool) -> Bool {
    do throws(LinuxError) {
      if call != nil {
        try continueCall()
        // A program that waits for an answer says nothing but good-bye.
        return call == nil || !hasInput
      }
      guard hasInput else { return true }
      let message = ProgramMessage(try stream.readExactly(ProgramMessage.bytes, within: Self.patience))
      switch message.kind {
      case .ioctl: try finish(try answer(cusbfs_request_kind(message.first), message.second))
      case .read: try finish(readDescriptors(Int(clamping: message.second), to: message.first))
      case .write: try finish(.failed(EINVAL))
      case nil: return false
      }
      return true
    } catch { return false }
  }

  private func finish(_ outcome: Outcome) throws(LinuxError) {
    switch outcome {
    case .done(let result, let writing): try stream.write(writing + ProgramMessage.done(result, 0))
    case .failed(let error): try stream.write(ProgramMessage.done(-1, error))
    case .notHandled: try stream.write(ProgramMessage.done(ProgramMessage.notHandled, 0))
    case .waits: try continueCall()
    }
  }

  /// The program closed the file or died: what it had under way is cancelled, what it claimed is free.
  func close() {
    isClosed = true
    if let call {
      node.device.cancel(tag: call.tag)
      memory.give(call.cost)
    }
    call = nil
    endTransfers(-ENOENT)
    for (interface, holder) in node.claims where holder == number { _ = node.release(interface, by: number) }
    memory.give(node.forget(number))
  }

  // MARK: the program's memory

  func read(_ count: Int, at address: UInt64) throws(LinuxError) -> [UInt8] {
    guard count > 0 else { return [] }
    try stream.write(ProgramMessage.read(address, count))
    return try stream.readExactly(count, within: Self.patience)
  }

  func readNumber(at address: UInt64) throws(LinuxError) -> UInt32 {
    try read(4, at: address).reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }

  private func readDescriptors(_ most: Int, to address: UInt64) -> Outcome {
    guard !node.isGone else { return .failed(ENODEV) }
    let descriptors = node.device.descriptors
    let all = descriptors.device + node.endpoints.forHost(configuration: descriptors.configuration)
    let bytes = Array(all[min(readOffset, all.count)..<min(all.count, readOffset + most)])
    readOffset += bytes.count
    return .done(bytes.count, writing: bytes.isEmpty ? [] : ProgramMessage.write(bytes, to: address))
  }

  // MARK: synchronous transfers

  /// Begins a transfer in whose call the program waits.
  /// - Parameter limit: nil for none.
  func begin(
    _ request: USBRequestBlock, cost: Int, within limit: Seconds?, to buffer: UInt64? = nil,
    then afterwards: (() -> Void)? = nil
  ) -> Outcome {
    let tag = nextTag()
    call = Call(
      tag: tag, deadline: limit.map { .now + $0 }, setup: request.setup, buffer: buffer, cost: cost,
      afterwards: afterwards)
    node.device.submit(request, tag: tag) { [node, number, signals] completion in
      node.answer(completion, to: number)
      signals.wake()
    }
    return .waits
  }

  private func continueCall() throws(LinuxError) {
    guard let waiting = call else { return }
    var completion = node.takeAnswer(for: number)
    if completion == nil, let deadline = waiting.deadline, MonotonicTime.now >= deadline {
      node.device.cancel(tag: waiting.tag)
      // It may have ended a moment before.
      completion = node.takeAnswer(for: number) ?? USBCompletion(status: -ETIMEDOUT, moved: 0)
    }
    guard let completion else { return }
    call = nil
    memory.give(waiting.cost)
    let status = hostStatus(completion.status)
    guard status == 0 else { return try finish(.failed(-status)) }
    waiting.afterwards?()
    var writing: [UInt8] = []
    if let buffer = waiting.buffer, !completion.data.isEmpty {
      writing = ProgramMessage.write(data(completion, waiting.setup), to: buffer)
    }
    // Calls that set something give 0, transfers the bytes that were moved.
    try finish(.done(waiting.afterwards == nil ? completion.moved : 0, writing: writing))
  }

  /// What the host sees of what the device sent.
  func data(_ completion: USBCompletion, _ setup: USBSetupPacket?) -> [UInt8] {
    guard let setup else { return completion.data }
    return node.endpoints.forHost(setup, completion.data)
  }

  func hostStatus(_ status: Int32) -> Int32 {
    options.unplugGivesError && status == USBStatus.shutdown ? -EPROTO : status
  }
}
