package import Quantities

/// The camera section of the configuration.
package struct CameraSettings: Sendable {
  /// A name of `CameraModels.all`.
  package var model: String
  /// `tcp://host:port`, `file:///path`, or the path of a Unix socket.
  package var url: String
  /// No frame in the ring is larger.
  package var maximumFrameBytes: Int
  /// The longest time from the end of an exposure to the arrival of its frame, for cameras whose clock can only be
  /// compared by the frames themselves. An assumption of the operator's; it is recorded with the clock pairs.
  package var maximumLatency: Seconds
  /// Which channel is recorded, where the stream has several; nil: the first.
  package var channel: String?
  /// Where commands go: `http://host` of a detector control unit, without it others command the detector; for cameras that
  /// always take commands elsewhere than at `url`, where that is not where it usually is.
  package var control: String?
  /// For streams that come by either.
  package var socket: CameraSocket
  /// How fast files are played; of `replay` alone.
  package var replayRate = ReplayRate.recorded

  package init(
    model: String, url: String, maximumFrameBytes: Int = 64 << 20, maximumLatency: Seconds = Seconds(0.1),
    channel: String? = nil, control: String? = nil, socket: CameraSocket = .pull
  ) {
    self.model = model
    self.url = url
    self.maximumFrameBytes = maximumFrameBytes
    self.maximumLatency = maximumLatency
    self.channel = channel
    self.control = control
    self.socket = socket
  }
}

/// How a ZeroMQ sender hands its frames out: `pull` shares them between its receivers, `sub` gives all to each and drops
/// what a slow one does not take.
package enum CameraSocket: String, CaseIterable, Sendable { case pull, sub }

/// How fast frames come that are on files.
package enum ReplayRate: Equatable, Sendable {
  /// As they came when they were recorded; as the protocol asks for where that is not known.
  case recorded
  /// As fast as they are read and there is room for them.
  case full
  case chosen(Hertz)
}

/// A kind of camera: its name in the configuration, and how to make one.
package struct CameraModel: Sendable {
  package let name: String
  /// One line for people.
  package let summary: String
  package let make: @Sendable (CameraSettings) throws(CameraError) -> sending any Camera
}

/// Every camera this program can receive from. A new model is one file and one entry here.
package enum CameraModels {
  package static let all: [CameraModel] = [
    CameraModel(name: "shm", summary: "shared-memory camera port, url: path of its Unix socket") {
      settings throws(CameraError) in try SharedMemoryCamera(settings)
    },
    CameraModel(name: "simplon", summary: "DECTRIS SIMPLON stream v1, url: tcp://host:9999") {
      settings throws(CameraError) in try SimplonCamera(settings, .legacy)
    },
    CameraModel(name: "simplon2", summary: "DECTRIS SIMPLON stream v2, url: tcp://host:31001") {
      settings throws(CameraError) in try SimplonCamera(settings, .cbor)
    },
    CameraModel(name: "merlin", summary: "Quantum Detectors Merlin, url: tcp://host, or tcp://host:6342") {
      settings throws(CameraError) in try MerlinCamera(settings)
    },
    CameraModel(name: "array", summary: "array-1.0 or slsDetector JSON over ZeroMQ, url: tcp://host:port") {
      settings throws(CameraError) in try ArrayCamera(settings)
    },
    CameraModel(name: "de", summary: "Direct Electron camera behind its DE-Server, url: tcp://host:13240") {
      settings throws(CameraError) in try DECamera(settings)
    },
    CameraModel(name: "replay", summary: "frames of a recorded run, an MRC or a raw file, url: file:///path") {
      settings throws(CameraError) in try ReplayCamera(settings)
    },
  ]

  package static func make(_ settings: CameraSettings) throws(CameraError) -> sending any Camera {
    guard let model = all.first(where: { $0.name == settings.model }) else {
      throw .unknownModel(settings.model, known: all.map(\.name))
    }
    return try model.make(settings)
  }
}
