package import JSON
import Pixels
import Quantities

// "off", "all" and {"rate_Hz": 400} as ever; more members where more is said, {"cameras": {…}} where cameras are named.

extension StepRecording {
  package var json: JSONValue {
    guard !byCamera.isEmpty else { return everyCamera.json }
    var members: [String: JSONValue] = ["cameras": .object(byCamera.mapValues(\.json))]
    if everyCamera.runs { members["others"] = everyCamera.json }
    return .object(members)
  }
}

extension Recording {
  package var json: JSONValue {
    guard runs else { return "off" }
    guard self != .all else { return "all" }
    var members: [String: JSONValue] = [:]
    if let rate { members["rate_Hz"] = .number(rate.value) }
    switch keep {
    case .all: break
    case .none: members["keep"] = "none"
    case .everyNth(let count): members["keep"] = ["every": .integer(Int64(count))]
    case .rate(let kept): members["keep"] = ["rate_Hz": .number(kept.value)]
    }
    if average > 1 { members["average"] = .integer(Int64(average)) }
    if let region {
      members["region"] = [
        "width": .integer(Int64(region.width)), "height": .integer(Int64(region.height)),
        "left": .integer(Int64(region.left)), "top": .integer(Int64(region.top)),
      ]
    }
    if let trigger { members["trigger"] = trigger.json }
    return .object(members)
  }
}

extension FrameTrigger {
  var json: JSONValue {
    [
      "statistic": .string(statistic.description), "comparison": .string(comparison.rawValue),
      "threshold": .number(threshold), "before_s": .number(before.value), "after_s": .number(after.value),
    ]
  }
}

extension NamedCamera {
  var json: JSONValue {
    ["name": .string(name), "line": .integer(Int64(line)), "column": .integer(Int64(column))]
  }
}

// MARK: - Reading

extension JSONMember {
  func stepRecording() throws(ProtocolError) -> StepRecording {
    if isMissing { return .off }
    guard let cameras = self["cameras"].value?.object else {
      guard self["cameras"].isMissing else { throw self["cameras"].error("is not an object") }
      return StepRecording(try recording())
    }
    guard (1...StepRecording.maximumCameras).contains(cameras.count) else {
      throw self["cameras"].error(
        "names \(cameras.count) cameras; at most \(StepRecording.maximumCameras) are possible")
    }
    var step = StepRecording(self["others"].isMissing ? .off : try self["others"].recording())
    for name in cameras.keys { step.byCamera[name] = try self["cameras"][name].recording() }
    return step
  }

  private func recording() throws(ProtocolError) -> Recording {
    if value == "off" { return .off }
    if value == "all" { return .all }
    guard let members = value?.object, !members.isEmpty else { throw error("is neither “off”, “all” nor an object") }
    var recording = Recording.all
    if !self["rate_Hz"].isMissing { recording.rate = try self["rate_Hz"].frameRate() }
    if !self["keep"].isMissing { recording.keep = try self["keep"].keep() }
    recording.average = try self["average"].integerIfPresent(in: Recording.countsOfAverage) ?? 1
    if !self["region"].isMissing { recording.region = try self["region"].region() }
    if !self["trigger"].isMissing { recording.trigger = try self["trigger"].trigger() }
    if let contradiction = recording.contradiction {
      throw error("is not possible: \(contradiction.message); \(contradiction.remedy)")
    }
    return recording
  }

  private func frameRate() throws(ProtocolError) -> Hertz {
    let rate = Hertz(try positive())
    guard rate <= CompiledProtocol.maximumFrameRate else { throw error("is too high") }
    return rate
  }

  private func keep() throws(ProtocolError) -> Recording.Keep {
    if value == "all" { return .all }
    if value == "none" { return .none }
    if let count = try self["every"].integerIfPresent(in: Recording.countsOfEvery) { return .everyNth(count) }
    return .rate(try self["rate_Hz"].frameRate())
  }

  private func region() throws(ProtocolError) -> PixelRegion {
    let region = PixelRegion(
      width: try self["width"].integer(), height: try self["height"].integer(), left: try self["left"].integer(),
      top: try self["top"].integer())
    guard let region else { throw error("has no pixel, or ends beyond \(PixelRegion.maximumEdge) pixels") }
    return region
  }

  private func trigger() throws(ProtocolError) -> FrameTrigger {
    guard let statistic = FrameTrigger.Statistic(name: try self["statistic"].text()) else {
      throw self["statistic"].error("is none of \(FrameTrigger.Statistic.words)")
    }
    guard let comparison = StopCondition.Comparison(rawValue: try self["comparison"].text()) else {
      throw self["comparison"].error("is neither “above” nor “below”")
    }
    let before = try self["before_s"].time(atMost: FrameTrigger.maximumBefore)
    let after = try self["after_s"].time(atMost: FrameTrigger.maximumAfter)
    guard before.value + after.value > 0 else { throw error("says neither how long before nor how long after") }
    return FrameTrigger(statistic, comparison, try self["threshold"].number(), before: before, after: after)
  }

  /// A camera that the protocol names.
  func camera() throws(ProtocolError) -> NamedCamera {
    NamedCamera(
      name: try self["name"].text(), line: try self["line"].integerIfPresent() ?? 0,
      column: try self["column"].integerIfPresent() ?? 0)
  }
}
