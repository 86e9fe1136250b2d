import Alignment
import ControlProtocol
import HolderDriver
import Linux
import Pixels
import Potentiostat
import Quantities
import RunControl
import USB
import YAML

/// A configuration that cannot be used: where, and what to do.
struct ConfigurationError: Error, CustomStringConvertible {
  var description: String
}

/// The daemon's configuration file, read and checked (docs/configuration.md).
struct Configuration {
  var controller: ControllerSettings
  var bus: any USBBus
  /// The command that starts the instruments' twin beside the daemon; nil on a real instrument.
  var twinCommand: String?
  var twinSocket: String
  var path: String

  /// Reads the file. `runtime` from the command line goes before the file's.
  init(path: String, runtime override: String?, data dataOverride: String?) throws(ConfigurationError) {
    self.path = path
    let bytes: [UInt8]
    do throws(LinuxError) { bytes = try FileSystem.read(path, limit: YAMLNode.maximumBytes) } catch {
      throw ConfigurationError(description: "configuration \(error); name another with --config FILE")
    }
    do throws(YAMLError) {
      let raw = try YAMLNode(parsing: bytes)
      let runtime = override ?? raw["runtime"]?.scalar ?? "/run/insitud"
      let top = try raw.replacing("{runtime}", with: runtime).mapping(keys: Self.topKeys)
      let control = try top.mappingOrEmpty("control", keys: ["endpoint", "streams"])
      let storage = try top.mappingOrEmpty("storage", keys: ["segment", "keep_free", "degrade", "compression"])
      let beam = try top.mappingOrEmpty("beam", keys: ["dose_rate"])

      var data = dataOverride ?? ""
      if dataOverride == nil { data = try top.text("data") }
      bus = try Self.bus(try top.mapping("usb", keys: ["bus", "address"]))
      controller = ControllerSettings(
        data: data, runtime: runtime,
        controlEndpoint: try control.text("endpoint", default: "ipc://\(runtime)/control"),
        streamsEndpoint: try control.text("streams", default: "ipc://\(runtime)/streams"),
        potentiostat: try Self.potentiostat(try top.mapping("potentiostat", keys: Self.potentiostatKeys)),
        holder: try Self.holder(top), cameras: try Self.cameras(top),
        segmentBytes: try Self.bytes(storage.ifPresent("segment"), default: 2_000_000_000),
        keepFree: try Self.bytes(storage.ifPresent("keep_free"), default: 1 << 30),
        doseRate: try beam.ifPresent("dose_rate").map { field throws(YAMLError) in
          DoseRate(try Self.doseRate(field), from: .configuration)
        },
        software: Software.title("insitud"))

      if let field = storage.ifPresent("degrade") { controller.degradations = try Self.degradations(field) }

      if let field = storage.ifPresent("compression") {
        let method = try field.choice(["none"] + FrameCompression.allCases.map(\.rawValue))
        controller.compression = FrameCompression(rawValue: method)
      }

      // The twin's own keys are the twin's to check.
      twinCommand = raw["twin"] == nil ? nil : raw["twin"]?["command"]?.scalar ?? "insitu-twin"
      twinSocket = "\(runtime)/twin-usb"
    } catch { throw ConfigurationError(description: error.described(in: path)) }
  }

  private static let topKeys = [
    "data", "runtime", "control", "usb", "potentiostat", "holder", "camera", "cameras", "ring", "storage", "beam",
    "twin",
  ]

  private static func bus(_ usb: YAMLMapping) throws(YAMLError) -> any USBBus {
    guard try usb.field("bus").choice(["usbip", "libusb"]) == "libusb" else {
      return USBIPBus(address: try usb.text("address"))
    }
    if let address = usb.ifPresent("address") {
      throw address.error("has no meaning with “bus: libusb”", remedy: "take it out, or write “bus: usbip”")
    }
    return LibUSBBus()
  }

  static func match(_ field: YAMLField) throws(YAMLError) -> USBMatch {
    guard let match = USBMatch(try field.text()) else {
      throw field.error(
        "“\(try field.text())” is not a USB device",
        remedy:
          "write VENDOR:PRODUCT or VENDOR:PRODUCT:SERIAL, such as “05E6:2450”, or “any” for the only one of its kind")
    }
    return match
  }

  private static func potentiostat(_ section: YAMLMapping) throws(YAMLError) -> PotentiostatSettings {
    let model = try section.field("model").choice(PotentiostatModels.all.map(\.name))
    let terminals = try section.ifPresent("terminals")?.choice(Terminals.allCases.map(\.rawValue))
    var settings = PotentiostatSettings(
      model: model, usb: try match(try section.field("usb")), terminals: terminals.flatMap(Terminals.init) ?? .rear)
    settings.fourWire = try section.ifPresent("sense")?.choice(["two-wire", "four-wire"]) == "four-wire"
    settings.channel = try section.ifPresent("channel")?.choice(["a", "b"]) ?? "a"
    settings.triggerOut = section.ifPresent("trigger_out") == nil ? nil : try section.integer("trigger_out", in: 1...14)
    settings.triggerIn = section.ifPresent("trigger_in") == nil ? nil : try section.integer("trigger_in", in: 1...14)
    if let line = settings.triggerIn, line == settings.triggerOut {
      throw try section.field("trigger_in").error("is the same digital line as “trigger_out”")
    }
    return settings
  }

  private static let potentiostatKeys = ["model", "usb", "terminals", "sense", "channel", "trigger_out", "trigger_in"]

  /// What is given up when the disk does not keep up: [every 2nd, every 8th, previews, stop], in the operator's order.
  private static func degradations(_ field: YAMLField) throws(YAMLError) -> [Degradation] {
    var order: [Degradation] = []
    for item in try field.sequence() {
      let text = try item.text()
      let words = text.split(separator: " ")
      let count = words.count == 2 && words[0] == "every" ? Int(words[1].prefix { $0.isNumber }) : nil
      let measure: Degradation? =
        switch text {
        case "previews": .previews
        case "stop": .stop
        default: count.flatMap { (2...1_000_000).contains($0) ? .everyNth($0) : nil }
        }
      guard let measure else {
        throw item.error("“\(text)” is nothing to give up", remedy: "write “every 2nd”, “previews” or “stop”")
      }
      if order.last == .stop {
        throw item.error("comes after “stop”", remedy: "after it there is nothing to give up")
      }
      order.append(measure)
    }
    return order
  }

  /// "16 GB", "500 MB", "2 TB" in powers of 1000.
  static func bytes(_ field: YAMLField?, default fallback: Int64) throws(YAMLError) -> Int64 {
    guard let field else { return fallback }
    let text = try field.text()
    for (unit, factor) in [("TB", 1e12), ("GB", 1e9), ("MB", 1e6)] where text.hasSuffix(unit) {
      if let number = Double(text.dropLast(2).filter { $0 != " " }), number > 0, number < 1e6 {
        return Int64(number * factor)
      }
    }
    throw field.error("“\(text)” is not a size", remedy: "write for example “16 GB” or “500 MB”")
  }
}
