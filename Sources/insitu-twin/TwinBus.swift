import Linux
import NanobatteryTwin
import Quantities

/// The USB instruments of the twin behind one USB/IP socket.
final class TwinBus {
  init(
    path: String, world: World, clocks: TruthRecorder.Clocks, configuration: TwinConfiguration,
    report: @escaping @Sendable (String) -> Void
  ) throws(LinuxError) {
  }

  /// Clients connected now.
  var connections: Int { 0 }

  func tick(at now: MonotonicTime) {}
  func unplug(_ instrument: PlannedUnplug.Instrument) {}
  func plug(_ instrument: PlannedUnplug.Instrument) {}
  func close() {}
}
