package import Pixels
package import Quantities

/// What one camera records during a step: how fast it runs, and what of its frames is written.
package struct Recording: Hashable, Sendable, CustomStringConvertible {
  /// Which frames are written. The others are counted as skipped by choice, and stay in the ring for a while.
  package enum Keep: Hashable, Sendable {
    case all
    /// The camera runs, and nothing is written before somebody looks back or a trigger fires.
    case none
    /// The first of so many frames.
    case everyNth(Int)
    /// At most so many frames per second, spread evenly.
    case rate(Hertz)
  }

  /// Frames of which one is kept, or that are added up to one.
  package static let countsOfEvery = 2...1_000_000_000
  package static let countsOfAverage = 2...65_536

  /// False: the camera stands still, and nothing else here means anything.
  package var runs: Bool
  /// The camera's own rate, where it can be commanded; nil: as fast as its exposure allows.
  package var rate: Hertz?
  package var keep = Keep.all
  /// Consecutive frames that are added up, in 32 bit, and written as one; 1: each is written as it came.
  package var average = 1
  /// What is written of each frame; nil: all of it.
  package var region: PixelRegion?
  package var trigger: FrameTrigger?

  package init(
    rate: Hertz? = nil, keep: Keep = .all, average: Int = 1, region: PixelRegion? = nil, trigger: FrameTrigger? = nil
  ) {
    runs = true
    self.rate = rate
    self.keep = keep
    self.average = average
    self.region = region
    self.trigger = trigger
  }

  private init(runs: Bool) { self.runs = runs }

  package static let off = Recording(runs: false)
  /// Whatever the camera sends: it decides the rate.
  package static let all = Recording()
  package static func rate(_ rate: Hertz) -> Recording { Recording(rate: rate) }

  /// Some frames may be written without anybody looking back.
  package var writes: Bool { runs && (keep != .none || trigger != nil) }

  /// Frames per second that are written, or come to be averages that are, without those of a trigger.
  /// - Parameter camera: frames per second of a camera that decides itself; nil where that is not known.
  /// - Returns: nil where the camera decides and its rate is not known.
  package func writtenRate(camera: Hertz?) -> Hertz? {
    guard runs, keep != .none else { return .zero }
    let frames = (rate ?? camera).map { Hertz($0.value / Double(average)) }
    switch keep {
    case .all, .none: return frames
    case .everyNth(let count): return frames.map { Hertz($0.value / Double(count)) }
    case .rate(let kept): return frames.map { min($0, kept) } ?? kept
    }
  }

  /// The short form of the language: "off", "all", "400 fps", "every 10th at 400 fps", "averages of 8 at 400 fps, keep
  /// 10 fps", with region and trigger behind it.
  package var description: String {
    guard runs else { return "off" }
    var text =
      switch keep {
      case .none: "none"
      case .everyNth(let count): "every \(Ordinal.text(count))"
      case .all where average == 1: "all"
      case .rate where average == 1: ""
      case .all, .rate: "averages of \(average)"
      }
    if let rate {
      let rateText = FrameRate.text(rate)
      text = text == "all" || text.isEmpty ? rateText : "\(text) at \(rateText)"
    }
    if case .rate(let kept) = keep { text += "\(text.isEmpty ? "" : ", ")keep \(FrameRate.text(kept))" }
    if average > 1, keep == .none { text += ", averages of \(average)" }
    if let region { text += ", region \(region)" }
    if let trigger { text += ", \(trigger)" }
    return text
  }
}

/// What every camera records during a step.
package struct StepRecording: Hashable, Sendable, CustomStringConvertible {
  package static let maximumCameras = 16

  /// Of cameras without an entry of their own.
  package var everyCamera: Recording
  package var byCamera: [String: Recording]

  package init(_ everyCamera: Recording, byCamera: [String: Recording] = [:]) {
    self.everyCamera = everyCamera
    self.byCamera = byCamera
  }

  package static let off = StepRecording(.off)
  package static let all = StepRecording(.all)
  package static func rate(_ rate: Hertz) -> StepRecording { StepRecording(.rate(rate)) }

  package subscript(camera: String) -> Recording { byCamera[camera] ?? everyCamera }

  /// No camera runs.
  package var isOff: Bool { !everyCamera.runs && !byCamera.values.contains(where: \.runs) }

  /// "400 fps"; "diffraction 100 fps; image off" of cameras by name.
  package var description: String {
    guard !byCamera.isEmpty else { return "\(everyCamera)" }
    let named = byCamera.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    return (named + (everyCamera.runs ? ["others \(everyCamera)"] : [])).joined(separator: "; ")
  }
}

/// "10th", "2nd".
enum Ordinal {
  static func text(_ number: Int) -> String {
    let ending =
      switch (number % 10, number % 100) {
      case (1, let tens) where tens != 11: "st"
      case (2, let tens) where tens != 12: "nd"
      case (3, let tens) where tens != 13: "rd"
      default: "th"
      }
    return "\(number)\(ending)"
  }
}
