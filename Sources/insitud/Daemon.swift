import ControlProtocol
import FrameRing
import Glibc
import Journal
import Linux
import Quantities
import RunControl
import RunStore
import USB
import ZeroMQ

/// The daemon's life: start, watch, stop. It wires; it decides nothing.
@main
struct Daemon {
  /// Exit codes of sysexits.h.
  private enum Exit {
    static let usage: Int32 = 64
    static let unavailable: Int32 = 69
    static let cannotCreate: Int32 = 73
    static let busy: Int32 = 75
    static let configuration: Int32 = 78
  }

  /// A loop that has not turned for this long hangs; the watchdog is then not fed any more.
  private static let longestStandstill = Seconds(8)

  static func main() {
    let parsed = Options.parse(Array(CommandLine.arguments.dropFirst()))
    guard let options = parsed.options else { leave("insitud: \(parsed.problem)\n\n\(Options.help)", Exit.usage) }
    switch options.action {
    case .help: print(Options.help)
    case .version: print(Software.title("insitud"))
    case .checkConfiguration:
      let read = configuration(options)
      if let command = read.twinCommand,
        let code = TwinCompanion.check(
          command: command, configuration: read.path, runtime: read.controller.runtime), code != 0
      {
        exit(code)
      }
      print("\(options.configuration): no errors")
    case .run: run(configuration(options), options)
    }
  }

  private static func configuration(_ options: Options) -> Configuration {
    do throws(ConfigurationError) {
      return try Configuration(path: options.configuration, runtime: options.runtime, data: options.data)
    } catch { leave("insitud: \(error)", Exit.configuration) }
  }

  private static func run(_ configuration: Configuration, _ options: Options) {
    let journal = Journal()
    let notifier = ServiceNotifier()
    // Before any thread starts: the mask is inherited, and the signals come through the descriptor.
    guard let signals = try? SignalDescriptor([SIGTERM, SIGINT]) else {
      leave("insitud: no signalfd", Exit.cannotCreate)
    }
    signal(SIGPIPE, SIG_IGN)
    umask(0o027)
    let settings = configuration.controller
    let bus = recorded(configuration.bus, options.recordUSB, journal)

    let (data, locks, catalog, beam, interrupted) = openData(settings, journal)
    defer { withExtendedLifetime(locks) {} }
    var twin: TwinCompanion?
    if let command = configuration.twinCommand {
      do throws(ConfigurationError) {
        twin = try TwinCompanion.begin(
          command: command, configuration: configuration.path, runtime: settings.runtime,
          socket: configuration.twinSocket, journal: journal)
      } catch { leave("insitud: \(error)", Exit.unavailable) }
    }
    let context = ZeroMQContext()
    let controller: RunController
    let server: ControlServer
    do {
      let left = settings.runCameras.compactMap { camera in
        LeftRing.setAside(runtime: settings.runtime, camera) { journal.log(.error, $0) }
      }
      for ring in left {
        journal.log(
          .warning,
          "an earlier daemon left \(ring.frames) frames of \(ring.camera.name) in memory: insituctl frames recover, or"
            + " insituctl frames discard")
      }
      for path in LeftRing.strangers(runtime: settings.runtime, settings.runCameras) {
        journal.log(
          .warning, "\(path) is the ring of a camera that is not configured; remove it to have its memory back")
      }
      let rings = try rings(settings, left.isEmpty, journal)
      for place in rings {
        if let memory = place.ring.memory { journal.log(.info, "ring of \(place.camera.name): \(memory)") }
      }
      let publisher = try StreamPublisher(context, endpoint: settings.streamsEndpoint, rings: rings)
      controller = try RunController(
        settings, data: data, catalog: catalog, beam: beam, bus: bus, rings: rings, left: left, publisher: publisher,
        interrupted: interrupted, journal: journal)
      server = try ControlServer(
        context, endpoint: settings.controlEndpoint, streams: settings.streamsEndpoint, controller: controller,
        journal: journal)
    } catch {
      twin?.end()
      leave("insitud: \(error)", Exit.cannotCreate)
    }
    controller.connectAtStart()
    journal.log(
      .notice, "\(Software.title("insitud")) is ready: control \(settings.controlEndpoint), data \(data.path)")
    notifier.ready("idle")

    watch(signals, controller, server, notifier, journal)

    notifier.stopping()
    journal.log(.notice, "stopping")
    controller.shutDown()
    server.end()
    twin?.end()
    for camera in settings.runCameras { FrameRing.remove(CameraRing.path(runtime: settings.runtime, camera)) }
    for endpoint in [settings.controlEndpoint, settings.streamsEndpoint] {
      if let path = ControlEndpoint.path(of: endpoint) { FileSystem.remove(path) }
    }
    journal.log(.notice, "stopped")
  }

  /// Until SIGTERM or SIGINT: status each second, the clocks every ten, and the watchdog while all loops turn.
  private static func watch(
    _ signals: borrowing SignalDescriptor, _ controller: RunController, _ server: ControlServer,
    _ notifier: ServiceNotifier, _ journal: Journal
  ) {
    var lastBeats: [String: (beats: UInt64, since: MonotonicTime)] = [:]
    var seconds = 0
    while true {
      if signals.next(within: Seconds(1)) != nil { return }
      seconds += 1
      if seconds % 10 == 0 { controller.noteHostClock() }
      controller.keepHouse()

      var beats = controller.beats
      beats["control"] = server.beats
      let now = MonotonicTime.now
      var standing: [String] = []
      for (loop, count) in beats {
        if lastBeats[loop]?.beats != count { lastBeats[loop] = (count, now) }
        if let since = lastBeats[loop]?.since, now - since > longestStandstill { standing.append(loop) }
      }
      if standing.isEmpty {
        notifier.feedWatchdog()
      } else {
        journal.log(.error, "these threads do not turn any more: \(standing.sorted().joined(separator: ", "))")
      }
    }
  }

  /// The bus with its conversations recorded where that is wanted. A directory that cannot be used is said now: whoever
  /// records looks for a fault, and must not learn afterwards that nothing was kept.
  private static func recorded(_ bus: any USBBus, _ directory: String?, _ journal: Journal) -> any USBBus {
    guard let directory else { return bus }
    let remedy = "give --record-usb a directory that can be written"
    do throws(LinuxError) { try FileSystem.makeDirectories(directory) } catch {
      leave("insitud: the directory for USB recordings: \(error); \(remedy)", Exit.cannotCreate)
    }
    guard FileSystem.isWritable(directory) else {
      leave("insitud: the directory for USB recordings, \(directory), cannot be written; \(remedy)", Exit.cannotCreate)
    }
    journal.log(.notice, "USB conversations are recorded in \(directory)")
    return RecordingBus(wrapping: bus, directory: directory) { journal.log(.warning, $0) }
  }

  /// Data directory, the locks, the beam as it was measured, and the catalog after recovery of what an earlier daemon left.
  private static func openData(_ settings: ControllerSettings, _ journal: Journal) -> (
    DataDirectory, [DaemonLock], Catalog, Beam, [RunDirectory]
  ) {
    do throws(LinuxError) { try FileSystem.makeDirectories(settings.runtime) } catch {
      leave("insitud: the runtime directory: \(error); choose another with --runtime DIR", Exit.cannotCreate)
    }
    do throws(RunStoreError) {
      let data = try DataDirectory(creating: settings.data)
      let locks = [
        try lock { () throws(RunStoreError) in try DaemonLock(runtime: settings.runtime) },
        try lock { () throws(RunStoreError) in try DaemonLock(data: data) },
      ]
      let catalog = try Catalog(data)
      let beam = Beam(in: data, configured: settings.doseRate, journal)
      return (data, locks, catalog, beam, try InterruptedRuns.recover(catalog, doseRate: beam.doseRate, journal))
    } catch {
      leave("insitud: \(error)", error.kind == .busy ? Exit.busy : Exit.cannotCreate)
    }
  }

  /// A daemon that was just killed may still be dying: its lock is waited for a moment.
  private static func lock(_ take: () throws(RunStoreError) -> DaemonLock) throws(RunStoreError) -> DaemonLock {
    let end = MonotonicTime.now + Seconds(2)
    while true {
      do throws(RunStoreError) { return try take() } catch {
        guard error.kind == .busy, MonotonicTime.now < end else { throw error }
        sleepThread(for: Seconds(0.1))
      }
    }
  }

  /// What an earlier daemon left takes memory too: where that is missing the rings are smaller, rather than no daemon.
  private static func rings(
    _ settings: ControllerSettings, _ nothingIsLeft: Bool, _ journal: Journal
  ) throws(FrameRingError) -> [CameraRing] {
    var rings: [CameraRing] = []
    for (camera, setup) in zip(settings.runCameras, settings.cameras) {
      let path = CameraRing.path(runtime: settings.runtime, camera)
      var slots = setup.ringFrames
      while true {
        do throws(FrameRingError) {
          let ring = try FrameRing.create(
            path, slots: slots, slotBytes: setup.frameBytes, statistics: setup.statistics)
          rings.append(CameraRing(camera, ring))
          break
        } catch {
          guard !nothingIsLeft, slots > 16 else { throw error }
          slots /= 2
        }
      }
      if slots < setup.ringFrames {
        journal.log(
          .error,
          "the ring of \(camera.name) has \(slots) slots instead of \(setup.ringFrames): an earlier daemon's frames take the memory;"
            + " insituctl frames recover (or discard), then restart")
      }
    }
    return rings
  }

  private static func leave(_ message: String, _ code: Int32) -> Never {
    let bytes = Array((message + "\n").utf8)
    unsafe _ = write(2, bytes, bytes.count)
    exit(code)
  }
}
