package import Quantities

/// How a run stands or ended. `complete`: every step was done and nothing went wrong.
package enum RunOutcome: String, Sendable, CaseIterable {
  case running, complete, tripped, stopped, interrupted, failed
}

/// What is known of a run when it begins.
package struct RunRecord: Sendable {
  package var id: ULID
  package var name: String
  package var sampleID: String?
  /// As the operator wrote it, and as it was compiled.
  package var protocolText: String
  package var protocolJSON: String
  package var started: HostClockReading
  /// Program and version that records, and the name of the computer.
  package var software: String
  package var host: String
  /// Those whose frames may become part of it.
  package var cameras: [RunCamera]

  package init(
    id: ULID, name: String, sampleID: String?, protocolText: String, protocolJSON: String, started: HostClockReading,
    software: String, host: String, cameras: [RunCamera] = [.first]
  ) {
    self.cameras = cameras
    self.id = id
    self.name = name
    self.sampleID = sampleID
    self.protocolText = protocolText
    self.protocolJSON = protocolJSON
    self.started = started
    self.software = software
    self.host = host
  }
}

/// An instrument as it was when the run began.
package struct DeviceRecord: Sendable {
  /// potentiostat | holder | the name of a camera
  package var kind: String
  package var model: String
  /// Its answer to who it is: maker, type, serial number, firmware.
  package var identity: String
  package var connection: String
  package var detailsJSON: String

  package init(kind: String, model: String, identity: String, connection: String, detailsJSON: String = "{}") {
    self.kind = kind
    self.model = model
    self.identity = identity
    self.connection = connection
    self.detailsJSON = detailsJSON
  }
}

/// A step of the expanded protocol as it begins.
package struct StepRecord: Sendable {
  /// In the expanded protocol, from 0.
  package var index: Int
  package var cycle: Int
  package var label: String?
  package var sentence: String
  /// Line in the protocol's text, from 1.
  package var line: Int
  package var started: MonotonicTime

  package init(index: Int, cycle: Int, label: String?, sentence: String, line: Int, started: MonotonicTime) {
    self.index = index
    self.cycle = cycle
    self.label = label
    self.sentence = sentence
    self.line = line
    self.started = started
  }
}

/// A sample with its step and the charge moved since the run began.
package struct StoredSample: Sendable {
  package var sample: Sample
  package var step: Int
  package var charge: Coulombs

  package init(_ sample: Sample, step: Int, charge: Coulombs) {
    self.sample = sample
    self.step = step
    self.charge = charge
  }
}

/// A slow quantity: temperature, force, position, pressure.
package struct ReadingRecord: Sendable {
  package var time: MonotonicTime
  package var device: String
  package var quantity: String
  /// In the SI unit of `unit`; nil when the instrument gave none.
  package var value: Double?
  package var unit: String

  package init(time: MonotonicTime, device: String, quantity: String, value: Double?, unit: String) {
    self.time = time
    self.device = device
    self.quantity = quantity
    self.value = value
    self.unit = unit
  }
}

/// Something that happened, in words.
package struct EventRecord: Sendable {
  package var time: MonotonicTime
  package var unixNanoseconds: Int64
  package var kind: String
  package var message: String
  package var detailsJSON: String?

  package init(
    time: MonotonicTime, unixNanoseconds: Int64, kind: String, message: String, detailsJSON: String? = nil
  ) {
    self.time = time
    self.unixNanoseconds = unixNanoseconds
    self.kind = kind
    self.message = message
    self.detailsJSON = detailsJSON
  }
}

/// Frame numbers `first…last` of a series that were not written, and why.
package struct GapRecord: Hashable, Sendable {
  package var series: UInt64
  package var first: UInt64
  package var last: UInt64
  package var frames: UInt64
  package var cause: String
  /// Id of the camera in the run.
  package var camera: Int

  package init(series: UInt64, first: UInt64, last: UInt64, frames: UInt64, cause: String, camera: Int = 0) {
    self.camera = camera
    self.series = series
    self.first = first
    self.last = last
    self.frames = frames
    self.cause = cause
  }

  package init(series: UInt64, first: UInt64, last: UInt64, cause: String, camera: Int = 0) {
    self.init(series: series, first: first, last: last, frames: last - first + 1, cause: cause, camera: camera)
  }
}
