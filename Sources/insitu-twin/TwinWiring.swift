import Linux
import NanobatteryTwin
import Quantities

extension TruthRecorder.Clocks {
  /// The clocks of the configuration, each with a wander of its own, from `start` on.
  init(_ configuration: TwinConfiguration, from start: MonotonicTime) {
    func clock(_ clock: TwinConfiguration.Clock, _ stream: UInt64) -> DeviceClock {
      DeviceClock(
        offset: clock.offset, driftPPM: clock.driftPPM, wanderSeed: configuration.seed &+ stream,
        wanderPPB: clock.wanderPPB, origin: start)
    }
    self.init(
      potentiostat: clock(configuration.potentiostat.clock, 1000), holder: clock(configuration.holderClock, 2000),
      camera: clock(configuration.camera.clock, 3000))
  }
}

extension TruthRecorder {
  /// The recorder of a directory; nil when no truth is wanted.
  static func open(_ directory: String?, _ clocks: Clocks) throws(TwinFailure) -> TruthRecorder? {
    guard let directory else { return nil }
    do throws(LinuxError) {
      return try TruthRecorder(directory: directory, clocks: clocks) { say($0) }
    } catch {
      throw TwinFailure(error, remedy: "give a --truth directory that can be written")
    }
  }
}

extension TwinInstruments {
  /// The potentiostat and the holder of the configuration in front of one world.
  convenience init(_ configuration: TwinConfiguration, _ world: World, _ clocks: TruthRecorder.Clocks) {
    let smu = configuration.potentiostat
    var settings = TwinPotentiostatSettings()
    settings.currentNoise = smu.noise.value / 2.0.squareRoot()  // stated at 10 ms there, at 20 ms here
    settings.seed = configuration.seed
    settings.sourceOffset = smu.sourceOffset.value
    settings.measureOffset = smu.measureOffset.value
    var all = Settings()
    if let gap = configuration.holderGap { all.holder.probe.gap = gap.value }
    self.init(
      all, model: (smu.model, settings), cell: world, potentiostatClock: clocks.potentiostat,
      holderClock: clocks.holder)
  }
}
