import Linux
import Quantities
package import USB

/// A bus whose devices' answers are damaged now and then, by a seeded generator: bytes flipped, cut off, doubled, and
/// numbers made absurd. Descriptors are left alone.
package final class MutatingBus: USBBus {
  private let bus: any USBBus
  private let damage: Damage

  /// - Parameter oneIn: of so many answers, one is damaged.
  package init(wrapping bus: any USBBus, seed: UInt64, oneIn: Int) {
    self.bus = bus
    damage = Damage(seed: seed, oneIn: oneIn)
  }

  /// Answers damaged so far.
  package var count: Int { damage.count }
  /// From now on nothing is damaged any more.
  package func heal() { damage.heal() }

  package func open(_ wanted: USBMatch, _ kind: USBInterfaceKind, name: String) throws(USBError) -> any USBTransport {
    MutatingTransport(try bus.open(wanted, kind, name: name), damage)
  }
}

private final class Damage: Sendable {
  private struct State {
    var random: UInt64
    var count = 0
    var isHealed = false
  }
  private let state: Monitor<State>
  private let oneIn: Int
  /// What stands in the place of a number.
  private static let absurd = [
    "9.91E+37", "nan", "-inf", "1e400", "-", "", "99999999999999999999", "-9223372036854775809", "0x", "1,1", "#9",
    "#0",
    "#41", "\n", ";", "1e-400", "\"", "9.9E37", "-1", "4294967296",
  ].map { Array($0.utf8) }

  init(seed: UInt64, oneIn: Int) {
    state = Monitor(State(random: seed &* 0x9E37_79B9_7F4A_7C15 | 1))
    self.oneIn = oneIn
  }

  var count: Int { state.read { $0.count } }
  func heal() { state.update { $0.isHealed = true } }

  func apply(_ bytes: [UInt8]) -> [UInt8] {
    state.update { state in
      func next(_ below: Int) -> Int {
        state.random ^= state.random << 13
        state.random ^= state.random >> 7
        state.random ^= state.random << 17
        return Int(state.random % UInt64(max(1, below)))
      }
      guard !state.isHealed, !bytes.isEmpty, next(oneIn) == 0 else { return bytes }
      state.count += 1
      var bytes = bytes
      // Mostly behind a USBTMC header, so that the instruments' own decoders get it.
      let first = bytes.count > 12 && next(5) > 0 ? 12 : 0
      let place = first + next(bytes.count - first)
      switch next(6) {
      case 0: bytes[place] ^= 1 << UInt8(next(8))
      case 1: bytes[place] = UInt8(next(256))
      case 2: bytes.removeSubrange(place...)
      case 3: bytes.insert(contentsOf: bytes[place...].prefix(1 + next(40)), at: place)
      case 4: bytes.remove(at: place)
      default:
        let number = Self.absurd[next(Self.absurd.count)]
        bytes.replaceSubrange(place..<min(bytes.count, place + number.count), with: number)
      }
      return bytes
    }
  }
}

private final class MutatingTransport: USBTransport {
  private let transport: any USBTransport
  private let damage: Damage

  init(_ transport: any USBTransport, _ damage: Damage) {
    self.transport = transport
    self.damage = damage
  }

  var device: USBDeviceFacts { transport.device }
  var interface: USBInterface { transport.interface }

  func control(_ setup: USBSetup, sending: [UInt8], within limit: Seconds) throws(USBError) -> [UInt8] {
    damage.apply(try transport.control(setup, sending: sending, within: limit))
  }

  func send(_ bytes: [UInt8], to endpoint: UInt8, endingWithZeroPacket: Bool, within limit: Seconds) throws(USBError) {
    try transport.send(bytes, to: endpoint, endingWithZeroPacket: endingWithZeroPacket, within: limit)
  }

  func receive(_ most: Int, from endpoint: UInt8, within limit: Seconds) throws(USBError) -> [UInt8] {
    damage.apply(try transport.receive(most, from: endpoint, within: limit))
  }

  func exchange(_ messages: [[UInt8]], to out: UInt8, receiving most: Int, from in: UInt8, within limit: Seconds)
    throws(USBError) -> [UInt8]
  {
    damage.apply(try transport.exchange(messages, to: out, receiving: most, from: `in`, within: limit))
  }

  func listen(
    to endpoint: UInt8, transfers: Int, most: Int,
    _ heard: @escaping @Sendable (Result<[UInt8], USBError>, MonotonicTime) -> Void
  ) throws(USBError) {
    try transport.listen(to: endpoint, transfers: transfers, most: most) { [damage] result, arrival in
      heard(result.map(damage.apply), arrival)
    }
  }

  func clearHalt(_ endpoint: UInt8) throws(USBError) { try transport.clearHalt(endpoint) }
  func reset() throws(USBError) { try transport.reset() }
  func close() { transport.close() }
}
