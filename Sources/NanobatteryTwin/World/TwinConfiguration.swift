package import Quantities
internal import YAML

/// The `twin:` section of a configuration file: every key is optional.
package struct TwinConfiguration: Sendable {
  package struct Clock: Equatable, Sendable {
    /// What the clock shows when the twin starts.
    package var offset: Seconds
    package var driftPPM: Double
    package var wanderPPB: Double
  }

  package struct Potentiostat: Sendable {
    package var model = TwinPotentiostatModel.keithley2450
    /// Noise of a current reading (rms at 10 ms aperture), and errors of the source's and the meter's zero.
    package var noise = Amperes(50e-15)
    package var sourceOffset = Amperes(120e-15)
    package var measureOffset = Amperes(300e-15)
    package var clock = Clock(offset: Seconds(3.7), driftPPM: 35, wanderPPB: 20)
  }

  package struct Camera: Sendable {
    package var width = 1024
    package var height = 1024
    /// Electrons (= counts) per pixel and second in vacuum.
    package var dose = 1000.0
    /// Nothing is in the beam.
    package var seesVacuum = false
    package var serial = "TWIN-CAM-1"
    package var ringSlots = 32
    package var ringDirectory = "/dev/shm"
    /// `HOST:PORT` of the HTTP that commands a SIMPLON stream; nil: it sends by itself.
    package var control: String?
    package var clock = Clock(offset: Seconds(0.9), driftPPM: 8, wanderPPB: 20)
    package var stream = Stream.shm
    /// `HOST:PORT` of a stream; nil: the usual port of its product, on this computer alone.
    package var address: String?
    /// From exposure to exposure, for streams that nobody commands.
    package var period = Seconds(0.01)

    /// How frames leave the camera.
    package enum Stream: String, CaseIterable, Sendable { case shm, simplon1, simplon2, merlin, de, array }
  }

  package var seed: UInt64 = 1
  /// Where the truth is written; nil for nowhere.
  package var truth: String?
  /// Where the USB instruments are also shown to libusb, as a mock of usbfs; nil for nowhere.
  package var usbMock: String?
  package var cell = CellParameters()
  package var potentiostat = Potentiostat()
  package var holderClock = Clock(offset: Seconds(12.4), driftPPM: -18, wanderPPB: 20)
  /// m between the holder's probe and the sample when the twin starts; nil: it touches.
  package var holderGap: Metres?
  /// The potentiostat is wired straight to the cell, as with a passive holder; the OBH-1 has nothing to switch.
  package var contactsAreWired = false
  package var camera = Camera()
  package var cameraFaults = CameraFaults()
  package var unplugs: [PlannedUnplug] = []

  package init() {}
}

/// What is wrong with a configuration file, ready to print: "config/twin.yaml:7:3: …".
package struct TwinConfigurationError: Error, Equatable, CustomStringConvertible {
  package var description: String
}

extension TwinConfiguration {
  /// Reads the section `twin:` and leaves all others alone.
  /// - Parameters:
  ///   - file: named in errors.
  ///   - runtime: replaces `{runtime}` in every value.
  package init(parsing bytes: [UInt8], file: String, runtime: String) throws(TwinConfigurationError) {
    self.init()
    do throws(YAMLError) {
      let document = try YAMLNode(parsing: bytes).replacing("{runtime}", with: runtime)
      guard let entries = document.entries else {
        throw YAMLError(at: document.mark, "the document must be a mapping, not \(document.kind)")
      }
      guard let section = entries.first(where: { $0.key.scalar == "twin" })?.value else {
        throw YAMLError(
          at: document.mark, "“twin” is missing", remedy: "add a section “twin:”, all of whose keys are optional")
      }
      // `twin:` with nothing behind it is all defaults.
      if section.scalar == "" { return }
      try read(
        YAMLMapping(
          section, path: "twin",
          keys: ["seed", "truth", "command", "usb_mock", "cell", "potentiostat", "holder", "camera", "faults"]))
    } catch {
      throw TwinConfigurationError(description: error.described(in: file))
    }
  }

  private mutating func read(_ twin: YAMLMapping) throws(YAMLError) {
    seed = UInt64(try twin.integer("seed", in: 0 ... .max, default: 1))
    truth = try twin.ifPresent("truth")?.text()
    usbMock = try twin.ifPresent("usb_mock")?.text()
    try cell.read(
      twin.mappingOrEmpty("cell", keys: CellParameters.keys))
    let potentiostat = try twin.mappingOrEmpty(
      "potentiostat", keys: ["model", "noise", "source_offset", "measure_offset", "clock"])
    if let field = potentiostat.ifPresent("model") {
      let name = try field.choice(TwinPotentiostatModels.all.map(\.name))
      self.potentiostat.model = TwinPotentiostatModels.named(name) ?? self.potentiostat.model
    }
    self.potentiostat.noise = try potentiostat.positive("noise", self.potentiostat.noise, orZero: true)
    self.potentiostat.sourceOffset = try potentiostat.quantity(
      "source_offset", default: self.potentiostat.sourceOffset)
    self.potentiostat.measureOffset = try potentiostat.quantity(
      "measure_offset", default: self.potentiostat.measureOffset)
    try self.potentiostat.clock.read(potentiostat)
    let holder = try twin.mappingOrEmpty("holder", keys: ["clock", "gap", "contacts"])
    try holderClock.read(holder)
    holderGap = try holder.ifPresent("gap")?.quantity()
    contactsAreWired = try holder.ifPresent("contacts")?.choice(["switched", "wired"]) == "wired"
    try camera.read(
      twin.mappingOrEmpty(
        "camera",
        keys: [
          "width", "height", "dose", "scene", "serial", "ring_slots", "ring_directory", "clock", "stream", "address",
          "control",
          "period",
        ]))
    if let faults = twin.ifPresent("faults"), faults.node.scalar != "" {
      for fault in try faults.sequence() { try read(fault: fault) }
    }
  }

  private static let faultKinds = [
    "unplug", "lose_frames", "repeat_frames", "stall_camera", "reorder_frames", "damage_frames", "garbage_before",
    "break_behind", "break_stream",
  ]

  private mutating func read(fault field: YAMLField) throws(YAMLError) {
    let fault = try field.mapping(
      keys: Self.faultKinds + ["after", "after_output_on", "replug_after", "every", "at_frame"])
    let kinds = Self.faultKinds.filter { fault.ifPresent($0) != nil }
    guard kinds.count == 1, let kind = kinds.first else {
      throw field.error("must have exactly one of \(Self.faultKinds.joined(separator: ", "))")
    }
    func allow(_ keys: [String]) throws(YAMLError) {
      for entry in fault.entries {
        let key = entry.key.scalar ?? ""
        guard key != kind, !keys.contains(key) else { continue }
        throw YAMLError(
          at: entry.key.mark, "“\(key)” has no meaning beside “\(kind)”",
          remedy: "possible there: \(keys.joined(separator: ", "))")
      }
    }
    switch kind {
    case "unplug":
      try allow(["after", "after_output_on", "replug_after"])
      unplugs.append(try PlannedUnplug(fault, field))
    case "stall_camera":
      try allow(["after"])
      cameraFaults.stall = (
        span: try fault.positive("stall_camera", Seconds(1)), after: try fault.quantity("after", default: Seconds(0))
      )
    case "break_stream":
      try allow(["at_frame"])
      cameraFaults.absence = (
        frame: UInt64(try fault.integer("at_frame", in: 0...1_000_000_000, default: 0)),
        span: try fault.positive("break_stream", Seconds(1))
      )
    default:
      try allow(["every"])
      let pattern = CameraFaults.Pattern(
        frames: UInt64(try fault.integer(kind, in: 1...1_000_000)),
        every: UInt64(try fault.integer("every", in: 1...1_000_000_000)))
      switch kind {
      case "lose_frames": cameraFaults.lose = pattern
      case "repeat_frames": cameraFaults.repeat = pattern
      case "reorder_frames": cameraFaults.reorder = pattern
      case "damage_frames": cameraFaults.damage = pattern
      case "garbage_before": cameraFaults.garbage = pattern
      default: cameraFaults.breakOff = pattern
      }
    }
  }
}

extension PlannedUnplug {
  fileprivate init(_ fault: YAMLMapping, _ field: YAMLField) throws(YAMLError) {
    let name = try fault.field("unplug").choice(Instrument.allCases.map(\.rawValue))
    guard let instrument = Instrument(rawValue: name) else { throw field.error("names no instrument") }
    let afterStart = try fault.ifPresent("after")?.quantity(Seconds.self)
    let afterOutputOn = try fault.ifPresent("after_output_on")?.quantity(Seconds.self)
    let moment: Moment
    switch (afterStart, afterOutputOn) {
    case (let span?, nil): moment = .afterStart(span)
    case (nil, let span?): moment = .afterOutputOn(span)
    default: throw field.error("must have either “after” or “after_output_on”; for example “after_output_on: 5 s”")
    }
    self.init(
      instrument: instrument, moment: moment,
      replugAfter: try fault.ifPresent("replug_after")?.quantity(Seconds.self))
  }
}

extension TwinConfiguration.Clock {
  fileprivate mutating func read(_ owner: YAMLMapping) throws(YAMLError) {
    let clock = try owner.mappingOrEmpty("clock", keys: ["offset", "drift", "wander"])
    offset = try clock.quantity("offset", default: offset)
    driftPPM = try clock.quantity("drift", default: PartsPerMillion(driftPPM)).value
    wanderPPB = try clock.positive("wander", PartsPerBillion(wanderPPB), orZero: true).value
    if abs(driftPPM) > 10_000, let field = clock.ifPresent("drift") {
      throw field.error("is \(driftPPM) ppm; at most ±10000 ppm is possible")
    }
  }
}

extension TwinConfiguration.Camera {
  fileprivate mutating func read(_ camera: YAMLMapping) throws(YAMLError) {
    width = try camera.integer("width", in: 8...TwinCameraSettings.largestSide, default: width)
    height = try camera.integer("height", in: 8...TwinCameraSettings.largestSide, default: height)
    if let field = camera.ifPresent("dose") {
      // The unit may be written: electrons per pixel and second is the only one there is.
      let text = try field.text()
      let (number, unit): (Double, String)
      do throws(QuantityError) {
        (number, unit) = try splitNumber(text, unit: "e/px/s")
      } catch {
        throw field.error(error.description)
      }
      guard unit.isEmpty || unit == "e/px/s" else { throw field.error("has the unit “\(unit)”; e/px/s is meant") }
      guard number >= 0 else { throw field.error("must not be negative") }
      dose = number
    }
    seesVacuum = try camera.ifPresent("scene")?.choice(["front", "vacuum"]) == "vacuum"
    serial = try camera.text("serial", default: serial)
    ringSlots = try camera.integer("ring_slots", in: 2...4096, default: ringSlots)
    ringDirectory = try camera.text("ring_directory", default: ringDirectory)
    control = try camera.ifPresent("control")?.text()
    try clock.read(camera)
    if let field = camera.ifPresent("stream") {
      stream = Stream(rawValue: try field.choice(Stream.allCases.map(\.rawValue))) ?? stream
    }
    address = try camera.ifPresent("address")?.text()
    if stream == .shm, let field = camera.ifPresent("address") {
      throw field.error("has no meaning with “stream: shm”", remedy: "take it out, or name a stream")
    }
    period = try camera.positive("period", period)
  }
}

extension CellParameters {
  fileprivate static let keys = [
    "capacity", "plateau", "state_of_charge", "exchange_current", "series_resistance", "double_layer",
    "stray_capacitance",
    "leakage_resistance", "self_discharge_resistance", "flicker_noise", "thermal_noise", "diffusion_time",
  ]

  fileprivate mutating func read(_ cell: YAMLMapping) throws(YAMLError) {
    capacity = try cell.positive("capacity", capacity)
    // A cell below 1 V is one that every instrument can reach.
    curve.base = try cell.quantity("plateau", default: Volts(curve.base)).value
    if let field = cell.ifPresent("state_of_charge") {
      initialStateOfCharge = try field.number()
      guard (0...1).contains(initialStateOfCharge) else { throw field.error("must be 0…1") }
    }
    exchangeCurrent = try cell.positive("exchange_current", exchangeCurrent)
    seriesResistance = try cell.positive("series_resistance", seriesResistance)
    doubleLayerCapacitance = try cell.positive("double_layer", doubleLayerCapacitance)
    strayCapacitance = try cell.positive("stray_capacitance", strayCapacitance)
    leakageResistance = try cell.positive("leakage_resistance", leakageResistance)
    selfDischargeResistance = try cell.positive("self_discharge_resistance", selfDischargeResistance)
    flickerNoise = try cell.positive("flicker_noise", flickerNoise, orZero: true)
    thermalNoise = try cell.boolean("thermal_noise", default: thermalNoise)
    slowDiffusion.timeConstant = try cell.positive("diffusion_time", slowDiffusion.timeConstant)
  }
}

extension YAMLMapping {
  fileprivate func positive<Q: PhysicalQuantity>(
    _ key: String, _ fallback: Q, orZero: Bool = false
  ) throws(YAMLError) -> Q {
    guard let field = ifPresent(key) else { return fallback }
    let quantity: Q = try field.quantity()
    guard quantity.value > 0 || (orZero && quantity.value == 0) else {
      throw field.error("is \(quantity); it must be \(orZero ? "zero or more" : "more than zero")")
    }
    return quantity
  }
}
