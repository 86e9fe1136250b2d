/// The lower convex hull of points that come in order of x (monotone chain: O(1) amortised a point).
/// Only its vertices can limit a line from above (clocks.md §4.1).
struct LowerHull: Sendable {
  struct Point: Equatable, Sendable {
    var x: Double
    var y: Double
  }

  private(set) var vertices: [Point] = []

  /// Takes a point in; `x` must not be less than that of the point before.
  mutating func append(x: Double, y: Double) {
    if let last = vertices.last, last.x == x {
      if y >= last.y { return }
      vertices.removeLast()
    }
    while vertices.count >= 2 {
      let a = vertices[vertices.count - 2]
      let b = vertices[vertices.count - 1]
      // b stays only when a → b → new turns counter-clockwise.
      if (b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x) > 0 { break }
      vertices.removeLast()
    }
    vertices.append(Point(x: x, y: y))
  }

  /// The least intercept a line of this slope may have with every point on or above it: min(y − slope·x), and the
  /// vertex that sets it. The hull must not be empty.
  func lowestIntercept(slope: Double) -> (value: Double, x: Double) {
    var low = 0
    var high = vertices.count - 1
    // Slopes of the edges rise with their index: find the first edge that is not flatter than the line.
    while low < high {
      let middle = (low + high) / 2
      if edgeSlope(middle) < slope { low = middle + 1 } else { high = middle }
    }
    return (vertices[low].y - slope * vertices[low].x, vertices[low].x)
  }

  /// Slopes of the lines that touch the hull at `x`: one for an edge, a range at a vertex, unbounded outside.
  func slopes(at x: Double) -> (least: Double, greatest: Double) {
    var low = 0
    var high = vertices.count
    while low < high {
      let middle = (low + high) / 2
      if vertices[middle].x < x { low = middle + 1 } else { high = middle }
    }
    // `low` is the first vertex at or right of x.
    if low == vertices.count { return (.infinity, .infinity) }
    if vertices[low].x == x {
      return (low == 0 ? -.infinity : edgeSlope(low - 1), low == vertices.count - 1 ? .infinity : edgeSlope(low))
    }
    return low == 0 ? (-.infinity, -.infinity) : (edgeSlope(low - 1), edgeSlope(low - 1))
  }

  private func edgeSlope(_ index: Int) -> Double {
    (vertices[index + 1].y - vertices[index].y) / (vertices[index + 1].x - vertices[index].x)
  }
}
