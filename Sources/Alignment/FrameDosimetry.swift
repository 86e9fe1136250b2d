package import Quantities

/// What turns the counts of a camera into electrons per area at the specimen.
package struct FrameDosimetry: Hashable, Sendable {
  /// Counts that an incident electron leaves in the frame, in the mean; its efficiency and gain are in it.
  package var countsPerElectron: UncertainValue
  /// Side of a square pixel, Å at the specimen.
  package var pixelSize: UncertainValue

  package init(countsPerElectron: UncertainValue, pixelSize: UncertainValue) {
    self.countsPerElectron = countsPerElectron
    self.pixelSize = pixelSize
  }

  /// Electrons per Å² that a frame counted, mean over its pixels, with the standard uncertainty.
  ///
  /// The uncertainty is of the fluence behind the frame: that of a Poisson count of the electrons (never less than that of one),
  /// of the counts per electron, and twice that of the pixel's side, as independent. Taken for granted: every electron leaves the same
  /// counts, and counts are proportional to electrons, with neither an offset nor a noise of the camera. Behind a specimen these
  /// are the electrons that reached the camera, fewer than met it.
  /// - Parameters:
  ///   - counts: sum over all pixels.
  ///   - frames: of so many frames the counts are the average; the electrons of all of them are told. 1 for a sum of frames.
  package func electrons(counts: Double, pixels: Int, averageOf frames: Int = 1) -> UncertainValue {
    precondition(pixels > 0 && frames > 0, "a frame without pixels")
    let electrons = counts * Double(frames) / countsPerElectron.value
    let perElectron = 1 / (Double(pixels) * pixelSize.value * pixelSize.value)
    let poisson = max(electrons, 1)
    let systematic = electrons * electrons * systematicShare * systematicShare
    return UncertainValue(electrons * perElectron, (poisson + systematic).squareRoot() * perElectron)
  }

  /// Relative standard uncertainty that more frames do not make smaller.
  package var systematicShare: Double {
    let gain = countsPerElectron.relative
    let area = 2 * pixelSize.relative
    return (gain * gain + area * area).squareRoot()
  }
}
