import EmulatedUSB
import Glibc
import Linux
import NanobatteryTwin
import Quantities

/// The two USB instruments of the twin for a kernel's own USB, without camera and runtime directory.
final class AttachedTwin {
  private enum Front {
    case usbip(USBIPServer)
    case gadget([FunctionFSFront])
  }

  private let world: World
  private let truth: TruthRecorder?
  private let instruments: TwinInstruments
  private let front: Front
  private var unplugs: UnplugSchedule

  /// Between two ticks while a computer has a device, and while none has.
  private static let tick = Seconds(0.001)
  private static let idleTick = Seconds(0.02)

  init(_ configuration: TwinConfiguration, _ options: AttachOptions) throws(TwinFailure) {
    let start = MonotonicTime.now
    let clocks = TruthRecorder.Clocks(configuration, from: start)
    let truth = try TruthRecorder.open(options.truth, clocks)
    world = World(
      WorldSettings(cell: configuration.cell, seed: configuration.seed, start: start, truth: truth) { say($0) })
    instruments = TwinInstruments(configuration, world, clocks)
    self.truth = truth
    unplugs = UnplugSchedule(configuration.unplugs, start: start)
    front = try Self.open(options.front, instruments)
  }

  private static func open(_ front: AttachOptions.Front, _ instruments: TwinInstruments) throws(TwinFailure) -> Front {
    switch front {
    case .describe: return .gadget([])
    case .usbip(let listen):
      let listener: TCPListener
      do throws(LinuxError) { listener = try TCPListener(listen) } catch {
        throw TwinFailure(
          EX_OSERR, "--listen \(error); give HOST:PORT of this computer that is free, such as 127.0.0.1:3240")
      }
      if !listener.isLoopback {
        say("warning: whoever reaches \(listener.address) can use these instruments: USB/IP asks for no password")
      }
      let host = listener.isLoopback ? "127.0.0.1" : "HOST"
      say("ready at \(listener.address): usbip attach -r \(host) -b 1-1 (potentiostat), -b 1-2 (holder)")
      return .usbip(USBIPServer(listener, instruments.exports))
    case .gadget(let potentiostat, let holder):
      var fronts: [FunctionFSFront] = []
      do throws(LinuxError) {
        if let potentiostat { fronts.append(try FunctionFSFront(potentiostat, instruments.potentiostat) { say($0) }) }
        if let holder { fronts.append(try FunctionFSFront(holder, instruments.holder) { say($0) }) }
      } catch {
        for front in fronts { front.stop() }
        throw TwinFailure(error, remedy: "give the directory where FunctionFS is mounted; nobody else may use it")
      }
      say("ready: bind the gadget to its controller now")
      return .gadget(fronts)
    }
  }

  /// One line for each instrument: name, vendor, product, serial, maker and product name, with tabs between.
  func describe() {
    for (name, device) in [("potentiostat", instruments.potentiostat), ("holder", instruments.holder)] {
      let d = device.descriptors
      func hex(_ number: UInt16) -> String {
        let digits = String(number, radix: 16)
        return "0x" + String(repeating: "0", count: 4 - digits.count) + digits
      }
      print([name, hex(d.vendor), hex(d.product), d.serial, d.manufacturerName, d.productName].joined(separator: "\t"))
    }
  }

  /// Ticks until a signal says stop.
  func run(signals: borrowing SignalDescriptor) {
    var next = MonotonicTime.now
    loop: while true {
      while let signal = signals.next(within: Seconds(0)) {
        if signal == SIGHUP { continue }
        say(signal == SIGINT ? "interrupted: ending" : "told to stop: ending")
        break loop
      }
      let now = MonotonicTime.now
      // The instruments first: what was due since the last tick, such as a missed heartbeat, happens at its own instant.
      instruments.tick(now)
      world.advance(to: now)
      for action in unplugs.due(at: now, outputOnSince: instruments.outputOnSince) { apply(action, now) }
      next = max(next + (isInUse ? Self.tick : Self.idleTick), now)
      sleepThread(for: next - .now)
    }
    switch front {
    case .usbip(let server): server.stop()
    case .gadget(let fronts): for front in fronts { front.stop() }
    }
    truth?.close()
  }

  private var isInUse: Bool {
    switch front {
    case .usbip(let server): server.connectionCount > 0
    case .gadget(let fronts): fronts.contains { $0.isEnabled }
    }
  }

  private func apply(_ action: UnplugSchedule.Action, _ now: MonotonicTime) {
    switch action {
    case .unplug(let instrument):
      world.note("fault: \(instrument.rawValue) unplugged", at: now)
      device(instrument).unplug()
    case .plug(let instrument):
      world.note("fault: \(instrument.rawValue) can be attached again", at: now)
      device(instrument).plug()
    }
  }

  private func device(_ instrument: PlannedUnplug.Instrument) -> EmulatedUSBDevice {
    switch instrument {
    case .potentiostat: instruments.potentiostat
    case .holder: instruments.holder
    }
  }
}
