import ControlProtocol
import EmulatedUSB
import Glibc
import HolderDriver
import JSON
import Journal
import Linux
import NanobatteryTwin
import Potentiostat
import Quantities
import RunStore
import TwinBench
import USB
import ZeroMQ

@testable import RunControl

/// A controller in this process, with a potentiostat of the twin, an OBH-1 and no camera, in a directory of its own.
final class ControllerBench {
  let controller: RunController
  let instruments: TwinInstruments
  let world: World
  private let bus: InProcessBus
  private let directory: String

  struct Failure: Error { var reason: String }

  init(_ model: String = "keithley-2450") throws {
    var template = Array("/tmp/controller-bench.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Failure(reason: "no temporary directory") }
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let start = MonotonicTime.now
    world = World(WorldSettings(cell: CellParameters(), seed: 1, start: start))
    let clock = NanobatteryTwin.DeviceClock(offset: Seconds(3), driftPPM: 10, origin: start)
    guard let twin = TwinPotentiostatModels.named(model) else { throw Failure(reason: "no twin of \(model)") }
    instruments = TwinInstruments(
      TwinInstruments.Settings(), model: (twin, TwinPotentiostatSettings()), cell: world, potentiostatClock: clock,
      holderClock: clock)
    bus = InProcessBus(devices: [instruments.potentiostat, instruments.holder])
    let facts = instruments.potentiostat.descriptors
    let settings = ControllerSettings(
      data: directory + "/data", runtime: directory, controlEndpoint: "", streamsEndpoint: "inproc://streams",
      potentiostat: PotentiostatSettings(model: model, usb: USBMatch(vendor: facts.vendor, product: facts.product)),
      holder: HolderSettings(
        model: "obh-1", usb: TwinBench.holder, contacts: HolderContacts(working: 1, counter: 2),
        heartbeatTimeout: Seconds(5)),
      cameras: [], segmentBytes: 1 << 20, keepFree: 1 << 20, doseRate: nil, software: "test")
    let data = try DataDirectory(creating: settings.data)
    controller = try RunController(
      settings, data: data, catalog: try Catalog(data), beam: Beam(in: data, configured: nil, Journal()), bus: bus,
      rings: [],
      publisher: try StreamPublisher(ZeroMQContext(), endpoint: settings.streamsEndpoint, rings: []), interrupted: [],
      journal: Journal())
  }

  func end() {
    controller.shutDown()
    bus.end()
    for name in ["/data/catalog.sqlite", "/data/catalog.sqlite-wal", "/data/catalog.sqlite-shm"] {
      unlink(directory + name)
    }
    for name in ["/data/runs", "/data", ""] { rmdir(directory + name) }
  }

  typealias Reply = Monitor<Result<JSONValue, ControlError>?>

  /// Gives a command, and does not wait for its end.
  func give(_ action: String, _ parameters: [String: JSONValue] = [:]) -> Reply {
    let reply = Reply(nil)
    let all = parameters.merging(["action": .string(action)]) { a, _ in a }
    controller.handle(ControlRequest(id: nil, method: .holder, parameters: all), endpoints: .null) { result in
      reply.update { $0 = result }
    }
    return reply
  }

  static func wait(_ reply: Reply) throws -> JSONValue {
    guard let result = reply.wait(atMost: Seconds(10), for: { $0 }) else { throw Failure(reason: "no answer in 10 s") }
    return try result.get()
  }

  func holder(_ action: String, _ parameters: [String: JSONValue] = [:]) throws -> JSONValue {
    try Self.wait(give(action, parameters))
  }
}
