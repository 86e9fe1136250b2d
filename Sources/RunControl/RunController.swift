import Alignment
import BiasProtocol
package import ControlProtocol
import FrameIngest
import HolderDriver
import JSON
package import Journal
import Linux
import Potentiostat
import Quantities
package import RunStore
package import USB

/// The one place where runs begin and end. Threads of the instruments report here; operators command here.
///
/// What must never wait (`status`, stopping) does not; what reads the catalog or reaches for instruments runs on the
/// `desk` thread; a run has a thread of its own.
package final class RunController: Sendable {
  package let settings: ControllerSettings
  let journal: Journal
  let publisher: StreamPublisher
  let instruments: Instruments
  let board: InstrumentBoard
  let desk: OwningThread<Catalog>
  /// Carries out emergency stops and nothing else.
  let emergency = OwningThread("estop", interval: { _ in Seconds(60) }, make: { () }, tick: { _ in })
  /// Free space of the data directory, as housekeeping last saw it: `status` must not wait for a disk.
  let freeBytes: Monitor<Int64?>
  let data: DataDirectory
  let beam: Beam
  let started = MonotonicTime.now

  let potentiostatClock = DeviceClock("potentiostat")
  let holderClock = DeviceClock("holder")
  /// Runs that an earlier daemon left unfinished: what the holder says of itself belongs to their record.
  let interrupted: [RunDirectory]
  let columns = Monitor((batch: SampleColumns(), since: MonotonicTime(nanoseconds: 0)))

  /// A run that is being prepared or going on.
  enum Occupation: Sendable {
    case idle
    /// Between the command and the first step; nothing has been done to the cell.
    case preparing
    /// An operator does something with the holder or the beam that no run may come between; in words.
    case operating(String)
    case running(ActiveRun)
    /// The daemon is going down.
    case closed
  }
  let occupation = Monitor(Occupation.idle)
  /// Why the run that is being prepared must not begin.
  let stopWanted = Monitor<String?>(nil)
  /// Stops so far: a command to start that was given before the latest of them is void.
  let stops = Monitor(UInt64(0))
  /// The same for commands that move the probe.
  let probeStops = Monitor(UInt64(0))
  /// The same for calibrations of the beam.
  let beamStops = Monitor(UInt64(0))
  /// When instruments that are away were reached for last.
  let reachedAt = Monitor(MonotonicTime.now)
  /// Rings that an earlier daemon left, until somebody recovers or discards them.
  let leftRings: Monitor<[LeftRing]>
  /// The bus tells by itself of what is plugged in.
  let busTellsChanges: Bool

  package init(
    _ settings: ControllerSettings, data: DataDirectory, catalog: Catalog, beam: Beam, bus: any USBBus,
    rings: [CameraRing], left: [LeftRing] = [], publisher: StreamPublisher, interrupted: [RunDirectory],
    journal: Journal
  ) throws(ControlError) {
    self.interrupted = interrupted
    leftRings = Monitor(left)
    busTellsChanges = bus.tellsChanges
    freeBytes = Monitor(FileSystem.freeBytes(at: data.path))
    self.settings = settings
    self.data = data
    self.beam = beam
    self.publisher = publisher
    self.journal = journal
    var models = ["potentiostat": settings.potentiostat.model]
    models["holder"] = settings.holder?.model
    for camera in settings.cameras { models[camera.name] = camera.source.model }
    board = InstrumentBoard(models)
    desk = OwningThread("desk", interval: { _ in Seconds(0.5) }, make: { catalog }, tick: { _ in })

    let link = ControllerLink()
    let latch = SafetyLatch()
    let potentiostat = OwningThread(
      "potentiostat", interval: { (station: PotentiostatStation) in station.pollInterval },
      make: { PotentiostatStation(settings.potentiostat, bus: bus, latch: latch) { link.controller?.heard($0) } },
      tick: { $0.tick() })
    let holder = settings.holder.map { holderSettings in
      OwningThread(
        "holder", interval: { (station: HolderStation) in station.tickInterval },
        make: { HolderStation(holderSettings, bus: bus, latch: latch) { link.controller?.heard($0) } },
        tick: { $0.tick() })
    }
    let cameras = zip(rings, settings.cameras).map { ring, setup in CameraStation(ring, setup, publisher) }
    do throws(CameraError) {
      for station in cameras { try station.start { link.controller?.heard($1, from: $0) } }
    } catch {
      for station in cameras { station.shutDown() }
      throw ControlError(.configuration, "\(error)")
    }
    instruments = Instruments(
      potentiostat: potentiostat, holder: holder, cameras: cameras, latch: latch,
      opensContacts: settings.holder?.opensContacts ?? false)
    link.set(self)
    bus.watch { change in link.controller?.noticed(change) }
  }

  /// Whatever run there is, or is being prepared, or was asked for before now, is to end.
  func demandStop(_ reason: String) {
    stops.update { $0 += 1 }
    stopWanted.update { $0 = reason }
    beamStops.update { $0 += 1 }
    stopProbe()
  }

  // MARK: Housekeeping

  var activeRun: ActiveRun? {
    occupation.read { if case .running(let run) = $0 { run } else { nil } }
  }

  /// To be called once a second: tells subscribers where everything stands, and ends a run that fills the disk.
  package func keepHouse() {
    let free = FileSystem.freeBytes(at: data.path)
    freeBytes.update { $0 = free }
    // Previews take little: half of what must stay free is for them.
    let isFull = free.map { $0 < settings.leastFree } ?? false
    if let free, isFull, let run = activeRun, run.progress.state != .stopping {
      run.signals.push(.failed("only \(free / 1_000_000) MB are free in \(data.path); storage.keep_free must stay"))
    }
    publisher.publish(status: status)
    for clock in [potentiostatClock, holderClock] + instruments.cameras.map(\.clock) { clock.refit() }
    for station in instruments.cameras { publisher.set(clock: station.clock.latest, of: station.camera) }
    if !busTellsChanges { reachAgain() }
  }

  /// Reads the host's three clocks; to be called every 10 s (design §4).
  package func noteHostClock() {
    let reading = HostClockReading.now
    publisher.setHostClock(reading)
    activeRun?.writer.put(.hostClock(reading))
  }

  /// Turns of every loop that must not stand still. The desk may: a long question to the catalog, or an instrument that
  /// does not answer, is no reason to end a run.
  package var beats: [String: UInt64] {
    var beats = ["potentiostat": instruments.potentiostat.beats, "streams": publisher.beats]
    beats["holder"] = instruments.holder?.beats
    for station in instruments.cameras { beats.merge(station.beats) { a, _ in a } }
    return beats
  }

  /// The order of design §8: the cell first, then the frames that are under way, then the record.
  package func shutDown() {
    demandStop("the daemon is shutting down")
    // Who is just preparing a run either begins it, and it is stopped below, or is refused from now on.
    let claimed = occupation.wait(atMost: Seconds(12)) { state -> Bool? in
      switch state {
      case .idle:
        state = .closed
        return true
      case .preparing, .operating: return nil
      case .running, .closed: return false
      }
    }
    if claimed == nil { occupation.update { $0 = .closed } }
    if claimed != true, let run = activeRun {
      run.signals.push(.stop(reason: "the daemon is shutting down"))
      _ = occupation.wait(atMost: Seconds(25)) { state -> Bool? in
        guard case .idle = state else { return nil }
        state = .closed
        return true
      }
    }
    // The last word where a run did not end in time. An instrument that no run has used is left as it is.
    if claimed == nil || instruments.potentiostat.run(within: Seconds(1), { $0.wasPrepared }) ?? true {
      for problem in instruments.makeSafe().problems { journal.log(.error, problem) }
    }
    emergency.end()
    for station in instruments.cameras { station.shutDown() }
    instruments.holder?.run(within: Seconds(1)) { $0.close() }
    instruments.potentiostat.run(within: Seconds(1)) { $0.close() }
    publisher.end()
    desk.end()
  }
}

/// Lets threads that are made before the controller report to it.
private final class ControllerLink: Sendable {
  private let target = Monitor<RunController?>(nil)
  /// Waits for the moment that the making of the controller still takes: the first word of a camera must not be lost.
  var controller: RunController? { target.wait(atMost: Seconds(5)) { $0 } }
  func set(_ controller: RunController) { target.update { $0 = controller } }
}
