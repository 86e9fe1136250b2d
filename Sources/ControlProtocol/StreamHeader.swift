package import JSON

/// One raw part behind the header: a numpy array.
package struct StreamPart: Equatable, Sendable {
  package var name: String
  /// numpy's name with explicit byte order: "<u2", "<f8", "<i8", "|u1".
  package var dtype: String
  /// Row by row, slowest first; [height, width] for pictures.
  package var shape: [Int]
  /// nil for plain numbers and counts.
  package var unit: String?

  package init(name: String, dtype: String, shape: [Int], unit: String?) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
    self.unit = unit
  }
}

/// Where `t_ns` comes from, and how far it may be off.
package struct StreamClock: Equatable, Sendable {
  /// For example "camera clock, fitted" or "host, arrival".
  package var source: String
  /// Standard uncertainty; nil when it is not known.
  package var uncertaintyNanoseconds: Int64?

  package init(source: String, uncertaintyNanoseconds: Int64?) {
    self.source = source
    self.uncertaintyNanoseconds = uncertaintyNanoseconds
  }
}

/// The JSON header of every published message (docs/control-protocol.md, after `formats.md` §2.2).
package struct StreamHeader: Equatable, Sendable {
  /// `v`: raised when a field changes its meaning.
  package static let schemaVersion = 1

  package var topic: Topic
  /// Which instrument or part of the daemon: "camera", "potentiostat", "daemon".
  package var stream: String
  /// The ULID of the run; nil outside of one.
  package var run: String?
  /// Counts up by one per message of this topic and stream, from 0 at the daemon's start.
  package var sequence: UInt64
  /// Wall time since 1970: start of the exposure, centre of the first aperture, instant of the event.
  package var unixNanoseconds: Int64
  /// The same instant on `CLOCK_MONOTONIC_RAW`.
  package var monotonicNanoseconds: Int64
  package var clock: StreamClock
  package var parts: [StreamPart]
  /// For `frame/`, `ref/` and `preview/`.
  package var picture: StreamPicture?
  /// For `ref/`.
  package var reference: StreamReference?
  /// Further members of the header: those of an event, or a status.
  package var members: [String: JSONValue]

  package init(
    _ topic: Topic, stream: String, run: String?, sequence: UInt64, unixNanoseconds: Int64,
    monotonicNanoseconds: Int64, clock: StreamClock, parts: [StreamPart] = [], picture: StreamPicture? = nil,
    reference: StreamReference? = nil, members: [String: JSONValue] = [:]
  ) {
    self.topic = topic
    self.stream = stream
    self.run = run
    self.sequence = sequence
    self.unixNanoseconds = unixNanoseconds
    self.monotonicNanoseconds = monotonicNanoseconds
    self.clock = clock
    self.parts = parts
    self.picture = picture
    self.reference = reference
    self.members = members
  }

  /// Topic and header, the first two parts of the message.
  package var messageHead: [[UInt8]] { [topic.bytes(stream: stream), bytes] }

  /// The header on one line. Written straight into bytes, because one is made for every frame.
  package var bytes: [UInt8] {
    var line = JSONLine()
    line.member("v", Int64(Self.schemaVersion))
    line.member("run", run)
    line.member("stream", stream)
    line.member("seq", sequence)
    line.member("t_ns", unixNanoseconds)
    line.member("t_mono_ns", monotonicNanoseconds)
    line.object("clock") {
      $0.member("source", clock.source)
      $0.member("uncertainty_ns", clock.uncertaintyNanoseconds)
    }
    line.array("parts", parts) { line, part in
      line.member("name", part.name)
      line.member("dtype", part.dtype)
      line.member("shape", part.shape)
      line.member("unit", part.unit)
    }
    picture?.write(to: &line)
    reference?.write(to: &line)
    for (name, value) in members.sorted(by: { $0.key < $1.key }) { line.member(name, value) }
    return line.finished
  }
}
