package import Alignment
package import FrameRing
import Pixels
package import Quantities

/// Adds up the frames of a beam on vacuum, one after the other, and says what dose rate they mean. Keeps no frame.
package struct BeamMeasurement {
  /// Fewer show neither scatter nor drift.
  package static let fewestFrames = 16
  /// Share of all counts that may lie in saturated pixels, which have lost some.
  private static let mostSaturated = 0.001
  /// Halves that differ by more standard deviations than this have drifted.
  private static let driftLimit = 3.0

  /// Why a frame, or all of them, cannot be used.
  package enum Problem: Error, Equatable {
    case noStatistics
    case noExposure
    case otherShape
    /// Some pixel has the largest value that its type holds, and nobody said which level is saturated.
    case fullPixels(Int)
    case saturated(share: Double)
    case noCounts
    case tooFewFrames(Int)
    /// Somebody ended it early.
    case stopped
  }

  /// Frames of one half, with their rates in counts per pixel and second.
  private struct Half {
    var frames = 0
    var mean = 0.0
    var squares = 0.0

    mutating func add(_ rate: Double) {
      frames += 1
      let distance = rate - mean
      mean += distance / Double(frames)
      squares += distance * (rate - mean)
    }

    var variance: Double { frames > 1 ? squares / Double(frames - 1) : 0 }
    /// Square of the standard deviation of the mean.
    var varianceOfMean: Double { frames > 0 ? variance / Double(frames) : 0 }
  }

  private let dosimetry: FrameDosimetry
  private let length: Seconds
  private var begin: MonotonicTime?
  private var first = Half()
  private var second = Half()
  private var shape: (width: Int, height: Int, bytes: Int)?
  private var counts = 0.0
  private var saturatedCounts = 0.0
  private var exposure = 0.0

  /// - Parameter length: of the measurement; frames that arrive in its second half are held against those of the first.
  package init(_ dosimetry: FrameDosimetry, length: Seconds) {
    self.dosimetry = dosimetry
    self.length = length
  }

  package var frames: Int { first.frames + second.frames }

  package mutating func add(_ frame: FrameHeader) throws(Problem) {
    guard let statistics = frame.statistics else { throw .noStatistics }
    guard frame.exposureNanoseconds > 0 else { throw .noExposure }
    let found = (frame.width, frame.height, frame.bytes)
    if let shape, shape != found { throw .otherShape }
    shape = found
    let most = frame.pixelType.largestValue
    if statistics.saturated == 0, statistics.maximum == most { throw .fullPixels(Int(most)) }
    let seconds = Double(frame.exposureNanoseconds) / 1e9
    let pixels = Double(frame.width * frame.height)
    counts += Double(statistics.sum)
    saturatedCounts += Double(statistics.saturated) * Double(statistics.maximum)
    exposure += seconds
    let start = begin ?? frame.arrival
    begin = start
    let rate = Double(statistics.sum) / pixels / seconds
    if frame.arrival - start < length * 0.5 { first.add(rate) } else { second.add(rate) }
  }

  /// - Parameters:
  ///   - camera: whose frames they are.
  ///   - unixNanoseconds: of the end.
  ///   - wasStopped: somebody ended it early, who wants no result.
  package func result(camera: String, unixNanoseconds: Int64, wasStopped: Bool = false) throws(Problem)
    -> BeamCalibration
  {
    if wasStopped { throw .stopped }
    guard frames >= Self.fewestFrames, first.frames > 1, second.frames > 1, let shape else {
      throw .tooFewFrames(frames)
    }
    guard counts > 0 else { throw .noCounts }
    guard saturatedCounts <= Self.mostSaturated * counts else { throw .saturated(share: saturatedCounts / counts) }
    let pixels = shape.width * shape.height
    let electrons = counts / dosimetry.countsPerElectron.value
    let fluence = dosimetry.electrons(counts: counts, pixels: pixels)
    // Of a frame, by what all frames together scatter, drift included.
    let mean = (first.mean * Double(first.frames) + second.mean * Double(second.frames)) / Double(frames)
    let between =
      Double(first.frames) * Double(second.frames) / Double(frames) * (first.mean - second.mean)
      * (first.mean - second.mean)
    let scatter = ((first.squares + second.squares + between) / Double(frames - 1)).squareRoot() / mean
    // Electrons arrive as Poisson counts at least; whatever scatters beside them shows in the frames.
    let statistical = max(1 / electrons.squareRoot(), scatter / Double(frames).squareRoot())
    let step = second.mean - first.mean
    let expected = (first.varianceOfMean + second.varianceOfMean).squareRoot()
    let hasDrifted = abs(step) > Self.driftLimit * expected
    let parts = BeamCalibration.Parts(
      statistical: statistical, countsPerElectron: dosimetry.countsPerElectron.relative,
      pixelSize: 2 * dosimetry.pixelSize.relative,
      // The rate that holds from now on lies somewhere within what it moved by.
      drift: hasDrifted ? abs(step) / mean / 3.0.squareRoot() : 0)
    let rate = fluence.value / exposure
    return BeamCalibration(
      rate: UncertainValue(rate, rate * parts.total), camera: camera, unixNanoseconds: unixNanoseconds,
      frames: frames, exposure: Seconds(exposure / Double(frames)), meanCounts: counts / Double(pixels * frames),
      scatter: scatter, drift: step / mean, hasDrifted: hasDrifted, parts: parts, dosimetry: dosimetry)
  }
}
