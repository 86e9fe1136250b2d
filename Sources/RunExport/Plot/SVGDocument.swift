internal import Quantities

/// SVG as text: plain elements, no scripts, no fonts from outside.
struct SVGDocument {
  let width: Double
  let height: Double
  private var body: [String] = []

  init(width: Double, height: Double) {
    self.width = width
    self.height = height
  }

  enum Anchor: String { case start, middle, end }

  mutating func raw(_ element: String) { body.append(element) }

  mutating func rectangle(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, fill: String, opacity: Double = 1, radius: Double = 0
  ) {
    let faint = opacity < 1 ? " fill-opacity=\"\(Self.number(opacity))\"" : ""
    let round = radius > 0 ? " rx=\"\(Self.number(radius))\"" : ""
    raw(
      "<rect x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" width=\"\(Self.number(max(0, width)))\" "
        + "height=\"\(Self.number(max(0, height)))\"\(round) fill=\"\(fill)\"\(faint)/>")
  }

  mutating func line(
    _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, stroke: String, width: Double = 1, dash: String? = nil
  ) {
    let dashed = dash.map { " stroke-dasharray=\"\($0)\"" } ?? ""
    raw(
      "<path d=\"M\(Self.number(x1)) \(Self.number(y1))L\(Self.number(x2)) \(Self.number(y2))\" stroke=\"\(stroke)\" "
        + "stroke-width=\"\(Self.number(width))\"\(dashed) fill=\"none\"/>")
  }

  mutating func text(
    _ x: Double, _ y: Double, _ text: String, size: Double = 12, fill: String = PlotColor.text,
    anchor: Anchor = .start, bold: Bool = false, turned: Bool = false, halo: Bool = false
  ) {
    let weight = bold ? " font-weight=\"600\"" : ""
    let turn = turned ? " transform=\"rotate(-90 \(Self.number(x)) \(Self.number(y)))\"" : ""
    let place = anchor == .start ? "" : " text-anchor=\"\(anchor.rawValue)\""
    // A white rim keeps a text readable on lines.
    let rim = halo ? " stroke=\"#FFFFFF\" stroke-width=\"3.5\" stroke-linejoin=\"round\" paint-order=\"stroke\"" : ""
    raw(
      "<text x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" font-size=\"\(Self.number(size))\" fill=\"\(fill)\""
        + "\(weight)\(place)\(rim)\(turn)>\(Self.escaped(text))</text>")
  }

  /// One line through the points.
  mutating func polyline(_ points: [(Double, Double)], stroke: String, width: Double, clip: String) {
    guard let first = points.first else { return }
    // A lone point shows as a dot: a line of no length with round ends.
    let all = points.count == 1 ? [first, first] : points
    raw(
      "<polyline points=\"\(Self.list(all))\" fill=\"none\" stroke=\"\(stroke)\" stroke-width=\"\(Self.number(width))\" "
        + "stroke-linejoin=\"round\" stroke-linecap=\"round\" clip-path=\"url(#\(clip))\"/>")
  }

  mutating func polygon(_ points: [(Double, Double)], fill: String, opacity: Double, clip: String) {
    guard points.count > 2 else { return }
    raw(
      "<polygon points=\"\(Self.list(points))\" fill=\"\(fill)\" fill-opacity=\"\(Self.number(opacity))\" "
        + "clip-path=\"url(#\(clip))\"/>")
  }

  mutating func clip(_ name: String, _ x: Double, _ y: Double, _ width: Double, _ height: Double) {
    raw(
      "<clipPath id=\"\(name)\"><rect x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" "
        + "width=\"\(Self.number(width))\" height=\"\(Self.number(height))\"/></clipPath>")
  }

  var source: String {
    """
    <?xml version="1.0" encoding="UTF-8"?>
    <svg xmlns="http://www.w3.org/2000/svg" width="\(Self.number(width))" height="\(Self.number(height))" \
    viewBox="0 0 \(Self.number(width)) \(Self.number(height))" font-family="Helvetica, Arial, 'Liberation Sans', \
    'DejaVu Sans', sans-serif">

    """ + body.joined(separator: "\n") + "\n</svg>\n"
  }

  private static func list(_ points: [(Double, Double)]) -> String {
    points.map { number($0.0) + "," + number($0.1) }.joined(separator: " ")
  }

  /// Hundredths of a pixel, without zeros that say nothing.
  static func number(_ value: Double) -> String {
    guard value.isFinite else { return "0" }
    var text = fixed(value, decimals: 2)
    while text.hasSuffix("0") { text.removeLast() }
    if text.hasSuffix(".") { text.removeLast() }
    return text
  }

  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "\t", "\n", "\r": result += " "
      // XML has no place for other control characters and surrogates' neighbours.
      default:
        if scalar.value >= 0x20 && scalar.value != 0x7F && scalar.value != 0xFFFE && scalar.value != 0xFFFF {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result
  }

  /// About how wide a text is: no font is asked, so it is the width in a wide one.
  static func width(of text: String, size: Double) -> Double {
    var units = 0.0
    for scalar in text.unicodeScalars {
      switch scalar {
      case "i", "j", "l", "I", ".", ",", ":", ";", "'", "|", "·", "f", "t", "r", " ", "(", ")", "1": units += 0.38
      case "m", "w", "M", "W", "%", "@": units += 0.95
      case "A"..."Z": units += 0.70
      default: units += scalar.value > 0x2E80 ? 1.0 : 0.60
      }
    }
    return units * size
  }

  /// `text` cut so that it is no wider than `width`, with an ellipsis; empty when nothing worth reading fits.
  static func shortened(_ text: String, to width: Double, size: Double) -> String {
    if Self.width(of: text, size: size) <= width { return text }
    var cut = text
    while !cut.isEmpty, Self.width(of: cut + "…", size: size) > width { cut.removeLast() }
    while cut.hasSuffix(" ") { cut.removeLast() }
    return cut.count < 3 ? "" : cut + "…"
  }
}

/// Colours that colour-blind people can tell apart (Okabe and Ito 2008), and greys.
enum PlotColor {
  static let voltage = "#0072B2"
  static let current = "#D55E00"
  static let rate = "#009E73"
  static let gap = "#CC79A7"
  static let note = "#8A6D00"
  static let text = "#1F2933"
  static let quiet = "#5F6C7B"
  static let grid = "#E4E8ED"
  static let frame = "#9AA5B1"
  static let band = "#F4F6F9"
  static let boundary = "#B8C2CC"
}
