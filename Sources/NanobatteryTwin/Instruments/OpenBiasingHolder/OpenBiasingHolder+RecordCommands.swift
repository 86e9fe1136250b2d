import Glibc
import Quantities

/// The holder's own meter at tap 5.
struct HolderMeter {
  /// Decades from 100 pA to 1 mA.
  static let ranges = [1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3]

  var rangeIndex = 2
  var isAutoRange = false
  var aperture = 0.02
  var lineFrequency = 50
  var offset = 0.0
  var offsetReadyAt: MonotonicTime?
  var sequence: UInt32 = 0
  var nextStart = MonotonicTime(nanoseconds: 0)
  /// When the range was changed last, and from what reading it comes.
  var changedAt = MonotonicTime(nanoseconds: .min / 2)

  /// s until a new range has settled: 1 s at 100 pA, a third of it for each decade up, 1 ms at least.
  var settlingTime: Double { max(1e-3, pow(1.0 / 3, Double(rangeIndex))) }
  var settledAt: MonotonicTime { changedAt + Seconds(settlingTime) }

  mutating func setRange(_ index: Int, at now: MonotonicTime) {
    guard index != rangeIndex else { return }
    rangeIndex = index
    changedAt = now
  }

  /// A by which a reading is off after a change of range: a fifth of the range, gone by e⁻⁷ when it has settled.
  func settlingError(at now: MonotonicTime) -> Double {
    0.2 * Self.ranges[rangeIndex] * exp(-7 * max(0, (now - changedAt).value) / settlingTime)
  }
}

extension OpenBiasingHolder {
  private enum RecordBit {
    static let compliance: UInt16 = 1 << 0
    static let overrange: UInt16 = 1 << 1
    static let settling: UInt16 = 1 << 2
    static let moving: UInt16 = 1 << 3
    static let contact: UInt16 = 1 << 4
    static let outputOn: UInt16 = 1 << 9
    static let heater: UInt16 = 1 << 10
  }
  /// Length of an offset or leakage measurement (holder.md §4.3).
  private static let slowMeasurement = Seconds(1)

  /// While the output is on, one record per aperture.
  func measure(until now: MonotonicTime) {
    guard state == .active else { return }
    while meter.nextStart + Seconds(meter.aperture) <= now {
      let centre = meter.nextStart + Seconds(meter.aperture / 2)
      meter.nextStart = meter.nextStart + Seconds(meter.aperture)
      append(record(at: centre))
      meter.sequence &+= 1
      pulse(.sample, at: centre)
    }
  }

  private func record(at centre: MonotonicTime) -> HolderRecord {
    let input = meterInput(at: centre)
    let full = HolderMeter.ranges[meter.rangeIndex] * 1.05
    let isOver = abs(input) > full
    if isOver && meter.isAutoRange {
      meter.setRange(min(meter.rangeIndex + 1, HolderMeter.ranges.count - 1), at: centre)
    }
    let isSettling = relays.settledAt > centre || meter.settledAt > centre
    var bits = RecordBit.outputOn
    if abs(input) >= bias.currentProtection { bits |= RecordBit.compliance }
    if isOver { bits |= RecordBit.overrange }
    if isSettling { bits |= RecordBit.settling }
    if piezo.isStepping { bits |= RecordBit.moving }
    if detector.contact != nil { bits |= RecordBit.contact }
    if heater.mode != .off { bits |= RecordBit.heater }
    let shown = min(max(input + settings.meterOffset - meter.offset, -full), full) + meter.settlingError(at: centre)
    return HolderRecord(
      time_us: microseconds(centre), sequence: meter.sequence, current_A: Float(shown),
      voltage_V: Float(sourceLevel(at: centre)), heater_Ohm: Float(heater.reading?.resistance ?? 0), status: bits,
      rangeIndex: UInt8(meter.rangeIndex), routeProfile: 0, edgeCount: edgeCount)
  }

  /// Puts a record into the queue; a full one keeps the oldest and says so.
  package func append(_ record: HolderRecord) {
    if !records.append(record) { status.questionable.happen(QuestionableBit.overflow) }
  }

  static var recordCommands: [SCPICommand<OpenBiasingHolder>] {
    [
      SCPICommand(
        ":SYSTem:TIME",
        query: { holder, call in
          // The start-of-frame number is the host's: 1 ms frames, 11 bits.
          let host = call.time.nanoseconds
          let frame = host / 1_000_000 % 2048
          return .text("\(holder.microseconds(call.time)),\(frame),\(host % 1_000_000 / 1000)")
        }),
      SCPICommand(
        ":SYSTem:TIME:EDGE",
        query: { holder, _ in
          .bytes(SCPIText.block(holder.edges.take(HolderFIFO<HolderEdge>.limit).flatMap(\.bytes)))
        }),
      SCPICommand(
        ":FETCh",
        query: { (holder, call) throws(SCPIError) in
          let most = HolderFIFO<HolderRecord>.limit
          let count = call.arguments.isEmpty ? most : try call.integer(in: 1...most)
          return .bytes(SCPIText.block(holder.records.take(count).flatMap(\.bytes)))
        }),
      SCPICommand(":FETCh:COUNt", query: { holder, _ in .integer(holder.records.elements.count) }),
      SCPICommand(
        ":FORMat:BORDer", set: { (_, call) throws(SCPIError) in try call.keyword([("SWAPped", ()), ("SWAP", ())]) },
        query: { _, _ in .text("SWAP") }),
      SCPICommand(
        ":SENSe:CURRent:RANGe",
        set: { (holder, call) throws(SCPIError) in
          let value = try call.number(in: 1e-10...1e-3, default: 1e-8)
          guard let index = HolderMeter.ranges.firstIndex(where: { value <= $0 * 1.000001 }) else { throw .outOfRange }
          holder.meter.setRange(index, at: call.time)
        }, query: { holder, _ in .number(HolderMeter.ranges[holder.meter.rangeIndex]) }),
      SCPICommand(
        ":SENSe:CURRent:RANGe:AUTO",
        set: { (holder, call) throws(SCPIError) in holder.meter.isAutoRange = try call.flag() },
        query: { holder, _ in .flag(holder.meter.isAutoRange) }),
      SCPICommand(
        ":SENSe:CURRent:APERture",
        set: { (holder, call) throws(SCPIError) in
          holder.meter.aperture = try call.number(in: 1e-3...10, default: 0.02)
        }, query: { holder, _ in .number(holder.meter.aperture) }),
      SCPICommand(
        ":SENSe:CURRent:NPLCycles",
        set: { (holder, call) throws(SCPIError) in
          let cycles = try call.number(in: 0.05...500, default: 1)
          holder.meter.aperture = cycles / Double(holder.meter.lineFrequency)
        }, query: { holder, _ in .number(holder.meter.aperture * Double(holder.meter.lineFrequency)) }),
      SCPICommand(
        ":SENSe:CURRent:LFRequency",
        set: { (holder, call) throws(SCPIError) in
          let frequency = try call.integer(in: 50...60, default: 50)
          guard frequency == 50 || frequency == 60 else { throw .illegalValue }
          holder.meter.lineFrequency = frequency
        }, query: { holder, _ in .integer(holder.meter.lineFrequency) }),
      SCPICommand(
        ":SENSe:CURRent:OFFSet:ACQuire",
        set: { (holder, call) throws(SCPIError) in
          guard holder.relays.isCellOpen, !holder.isShunted else { throw .settingsConflict }
          holder.meter.offsetReadyAt = call.time + slowMeasurement
          holder.meter.offset = holder.settings.meterOffset
        }),
      SCPICommand(":SENSe:CURRent:OFFSet", query: { holder, _ in .number(holder.meter.offset) }),
      SCPICommand(
        ":SENSe:LEAKage:MEASure",
        query: { (holder, call) throws(SCPIError) in
          let voltage = try call.number(in: -10...10)
          guard abs(voltage) >= 0.01 else { throw .outOfRange }
          guard holder.relays.isCellOpen, !holder.isShunted else { throw .settingsConflict }
          // The host waits for the answer and cannot beat; the lines are open all the while.
          holder.heartbeatReload = holder.heartbeatReload + slowMeasurement
          return .later(
            call.time + slowMeasurement,
            { (holder, _) throws(SCPIError) in
              let resistance = holder.isGuarded ? holder.settings.insulation : holder.settings.unguardedInsulation
              holder.status.questionable.set(
                QuestionableBit.leakage, abs(voltage / resistance) > holder.leakageLimit)
              return Array("\(SCPIText.scientific(resistance)),\(SCPIText.scientific(voltage / resistance))".utf8)
            })
        }),
    ]
  }
}
