import Glibc
import Linux
import NanobatteryTwin
import Quantities

/// Wires the world, its instruments and its camera, and keeps them ticking.
final class TwinProcess {
  private let lock: RuntimeLock
  private let start: MonotonicTime
  private let world: World
  private let truth: TruthRecorder?
  private let camera: TwinCamera
  private let cameraOutlet: any CameraOutlet
  private let instruments: TwinBus
  private var unplugs: UnplugSchedule

  /// Between two ticks while somebody is connected, and while nobody is.
  private static let tick = Seconds(0.001)
  private static let idleTick = Seconds(0.02)

  init(_ configuration: TwinConfiguration, runtime: String) throws(TwinFailure) {
    do throws(LinuxError) { try FileSystem.makeDirectories(runtime) } catch {
      throw TwinFailure(error, remedy: "give a --runtime directory that can be made")
    }
    let lock = try RuntimeLock(runtime: runtime)
    Self.removeStaleRings(in: configuration.camera.ringDirectory)

    let start = MonotonicTime.now
    let clocks = TruthRecorder.Clocks(configuration, from: start)
    let truth = try TruthRecorder.open(configuration.truth, clocks)
    let recorder = truth
    let report: @Sendable (String) -> Void = { text in
      say(text)
      recorder?.event(text, at: .now)
    }
    world = World(
      WorldSettings(cell: configuration.cell, seed: configuration.seed, start: start, truth: truth) { say($0) })

    var settings = TwinCameraSettings()
    settings.width = configuration.camera.width
    settings.height = configuration.camera.height
    settings.dose = configuration.camera.dose
    settings.seesVacuum = configuration.camera.seesVacuum
    settings.serial = configuration.camera.serial
    settings.slots = configuration.camera.ringSlots
    settings.clock = clocks.camera
    settings.seed = configuration.seed
    settings.faults = configuration.cameraFaults
    settings.ringPath = "\(configuration.camera.ringDirectory)/\(Self.ringName)\(getpid())"
    do throws(TwinCameraError) {
      camera = try TwinCamera(settings, world: world, report: report)
    } catch {
      throw TwinFailure(EX_OSERR, error.description)
    }
    do throws(LinuxError) {
      cameraOutlet = try configuration.camera.outlet(camera, runtime: runtime, report: report)
      instruments = try TwinBus(
        path: runtime + "/twin-usb", world: world, clocks: clocks, configuration: configuration)
    } catch {
      FileSystem.remove(settings.ringPath)
      throw Self.explain(error, runtime)
    }
    unplugs = UnplugSchedule(configuration.unplugs, start: start)
    if configuration.contactsAreWired { world.setContacts(closed: true, at: start) }
    self.lock = lock
    self.start = start
    self.truth = truth
    let mock = configuration.usbMock.map { ", libusb at \($0)" } ?? ""
    let place = configuration.camera.place
    say("ready in \(runtime): twin-usb, \(place)\(mock), process \(getpid())")
  }

  private static func explain(_ error: LinuxError, _ runtime: String) -> TwinFailure {
    switch error.number {
    case EADDRINUSE where error.subject.contains(":"):
      TwinFailure(EX_TEMPFAIL, "\(error.subject) is in use; give another twin.camera.address")
    case EADDRINUSE:
      TwinFailure(EX_TEMPFAIL, "another twin answers in \(runtime); stop it first or give another --runtime")
    case ENAMETOOLONG:
      TwinFailure(EX_CONFIG, "\(error); a socket's path has at most 107 bytes: give a shorter --runtime")
    default: TwinFailure(error, remedy: "give a --runtime directory that can be written")
    }
  }

  private static let ringName = "insitu-twin-camera-"

  /// A twin that was killed could not remove its ring.
  private static func removeStaleRings(in directory: String) {
    for name in (try? FileSystem.list(directory)) ?? [] where name.hasPrefix(ringName) {
      guard let process = pid_t(name.dropFirst(ringName.count)), kill(process, 0) != 0, errno == ESRCH else { continue }
      FileSystem.remove("\(directory)/\(name)")
    }
  }

  /// Ticks until a signal says stop, or nobody has been connected for `idleExit`.
  func run(idleExit: Seconds?, signals: borrowing SignalDescriptor) {
    var lastConnected = start
    var connectionsSeen: UInt64 = 0
    var next = MonotonicTime.now
    loop: while true {
      while let signal = signals.next(within: Seconds(0)) {
        if signal == SIGHUP { continue }
        say(signal == SIGINT ? "interrupted: ending" : "told to stop: ending")
        break loop
      }
      let now = MonotonicTime.now
      // The instruments first: what was due since the last tick, such as a missed heartbeat, happens at its own instant.
      instruments.tick(at: now)
      world.advance(to: now)
      for action in unplugs.due(at: now, outputOnSince: instruments.outputOnSince) { apply(action, now) }

      let connections = instruments.connections + (cameraOutlet.isConnected ? 1 : 0)
      if connections > 0 || cameraOutlet.connections != connectionsSeen {
        lastConnected = now
        connectionsSeen = cameraOutlet.connections
      }
      if let idleExit, now - lastConnected > idleExit {
        say("nobody connected for \(idleExit): ending")
        break
      }
      next = max(next + (connections > 0 ? Self.tick : Self.idleTick), now)
      sleepThread(for: next - .now)
    }
    close()
  }

  private func apply(_ action: UnplugSchedule.Action, _ now: MonotonicTime) {
    switch action {
    case .unplug(let instrument):
      world.note("fault: \(instrument.rawValue) unplugged", at: now)
      instruments.unplug(instrument)
    case .plug(let instrument):
      world.note("fault: \(instrument.rawValue) plugged in again", at: now)
      instruments.plug(instrument)
    }
  }

  private func close() {
    instruments.close()
    cameraOutlet.close()
    camera.close()
    truth?.close()
  }
}
