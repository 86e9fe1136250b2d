/// How much single readings scatter, from the readings themselves.
package enum NoiseEstimate {
  /// Fewer readings say too little.
  package static let leastReadings = 8

  /// Standard deviation of one reading, from second differences (a slope drops out) and their median (steps and
  /// spikes drop out). Readings in coarse steps scatter by at least the step/√12.
  /// - Returns: nil with fewer than `leastReadings` readings.
  package static func standardDeviation(of readings: [Double]) -> Double? {
    guard readings.count >= leastReadings else { return nil }
    var differences: [Double] = []
    var finestStep = Double.infinity
    differences.reserveCapacity(readings.count)
    for index in 1..<readings.count {
      let step = abs(readings[index] - readings[index - 1])
      if step > 0 { finestStep = min(finestStep, step) }
      if index + 1 < readings.count {
        differences.append(abs(readings[index + 1] - 2 * readings[index] + readings[index - 1]))
      }
    }
    differences.sort()
    // var(x₋ − 2x + x₊) = 6σ²; 1.4826 turns the median of |N(0, σ)| into σ.
    let scatter = 1.4826 * median(sorted: differences) / 6.0.squareRoot()
    let resolution = finestStep.isFinite ? finestStep / 12.0.squareRoot() : 0
    return max(scatter, resolution)
  }

  private static func median(sorted values: [Double]) -> Double {
    let middle = values.count / 2
    return values.count % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2
  }
}
