import Quantities

/// An exposure and the samples it touches.
struct ExposureSpan {
  var start: Int64
  var stop: Int64
  var touching: Range<Int>
  /// Standard uncertainty, s.
  var timeUncertainty: Double
  var centre: Double { Double(stop - start) / 2e9 }
}

/// Voltage or current of the samples about an exposure.
struct Channel {
  let entries: [FrameAligner.Entry]
  let reading: KeyPath<AlignedSample, Double?>
  let noise: KeyPath<AlignedSample, Double>
  /// Standard uncertainty that all readings share.
  let systematic: Double

  /// One reading; time in s since the start of the exposure.
  private struct Point {
    var time: Double
    var value: Double
    var noise: Double
  }

  private func point(_ index: Int, _ span: ExposureSpan) -> Point? {
    guard entries.indices.contains(index) else { return nil }
    let sample = entries[index].sample
    guard let value = sample[keyPath: reading] else { return nil }
    let time = Double(sample.centre.nanoseconds - span.start) * 1e-9
    return Point(time: time, value: value, noise: sample[keyPath: noise])
  }

  func value(_ span: ExposureSpan, isHole: (Int) -> Bool) -> FrameValue.Range? {
    let before = isHole(span.touching.lowerBound - 1) ? nil : point(span.touching.lowerBound - 1, span)
    let after = isHole(span.touching.upperBound - 1) ? nil : point(span.touching.upperBound, span)
    if span.touching.isEmpty {
      guard let before, let after else { return nil }
      return interpolated(span, before, after)
    }
    return averaged(span, before, after)
  }

  /// The straight line between the two neighbours. Where between them the value changed is not known: the difference
  /// counts as a rectangular distribution (÷√12).
  private func interpolated(_ span: ExposureSpan, _ before: Point, _ after: Point) -> FrameValue.Range? {
    let whole = after.time - before.time
    guard whole > 0 else { return nil }
    let difference = after.value - before.value
    let slope = difference / whole
    let share = (span.centre - before.time) / whole
    let mean = before.value + share * difference
    let statistical =
      (1 - share) * (1 - share) * before.noise * before.noise + share * share * after.noise * after.noise
    let reach = abs(slope) * span.centre
    return FrameValue.Range(
      mean: mean, minimum: mean - reach, maximum: mean + reach,
      uncertainty: combined(statistical, slope * span.timeUncertainty, difference / 12.0.squareRoot()))
  }

  /// The mean of the touching samples by how much of the exposure they cover. Their common centre is not the
  /// exposure's: where the neighbours show a straight line the mean follows it, elsewhere the distance is uncertainty.
  private func averaged(_ span: ExposureSpan, _ before: Point?, _ after: Point?) -> FrameValue.Range? {
    var weights = 0.0
    var squares = 0.0
    var values = 0.0
    var times = 0.0
    var minimum = Double.infinity
    var maximum = -Double.infinity
    for index in span.touching {
      guard let point = point(index, span) else { continue }
      // An aperture that only touches still counts, by a nanosecond.
      let overlap = max(1, min(entries[index].end, span.stop) - max(entries[index].start, span.start))
      let weight = Double(overlap) * 1e-9
      weights += weight
      squares += weight * weight * point.noise * point.noise
      values += weight * point.value
      times += weight * point.time
      minimum = min(minimum, point.value)
      maximum = max(maximum, point.value)
    }
    guard weights > 0 else { return nil }
    let statistical = squares / (weights * weights)
    let common = Point(time: times / weights, value: values / weights, noise: statistical.squareRoot())
    let offset = span.centre - common.time
    let shape = shape(common, before, after)
    var mean = common.value
    var spread = shape.slope * offset
    var variance = statistical
    if shape.isStraight {
      mean += spread
      spread = 0
      variance += shape.slopeVariance * offset * offset
    } else {
      // A step or a bend next to the exposure: it may lie inside.
      spread = abs(spread) + shape.bend * min(1, abs(offset) / max(shape.reach, 1e-9))
    }
    return FrameValue.Range(
      mean: mean, minimum: min(minimum, mean), maximum: max(maximum, mean),
      uncertainty: combined(variance, shape.slope * span.timeUncertainty, spread))
  }

  private struct Shape {
    var slope = 0.0
    var slopeVariance = 0.0
    /// The neighbours and the exposure's samples lie on a line, within their noise.
    var isStraight = false
    /// How far off the line the samples lie, and how near the nearer neighbour is (s).
    var bend = 0.0
    var reach = 0.0
  }

  private func shape(_ common: Point, _ before: Point?, _ after: Point?) -> Shape {
    guard let before, let after, after.time > before.time else {
      guard let other = before ?? after, other.time != common.time else { return Shape() }
      let reach = abs(common.time - other.time)
      return Shape(slope: (common.value - other.value) / (common.time - other.time), reach: reach)
    }
    let whole = after.time - before.time
    let share = (common.time - before.time) / whole
    let distance = common.value - (before.value + share * (after.value - before.value))
    let neighbours = before.noise * before.noise + after.noise * after.noise
    let expected =
      common.noise * common.noise + (1 - share) * (1 - share) * before.noise * before.noise
      + share * share * after.noise * after.noise
    return Shape(
      slope: (after.value - before.value) / whole, slopeVariance: neighbours / (whole * whole),
      isStraight: distance * distance <= Self.straightness * expected, bend: abs(distance),
      reach: min(common.time - before.time, after.time - common.time))
  }

  /// (3σ)²: noise alone makes one exposure in 400 look bent.
  private static let straightness = 9.0

  private func combined(_ variance: Double, _ terms: Double...) -> Double {
    terms.reduce(variance + systematic * systematic) { $0 + $1 * $1 }.squareRoot()
  }
}
