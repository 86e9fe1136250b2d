package import Quantities

/// Frames per second as people write them.
package enum FrameRate {
  /// Reads "400 fps", "0.5 fps" and, as its equal, "400 Hz".
  package static func parse(_ text: String) throws(QuantityError) -> Hertz {
    let (number, unit) = try splitNumber(text, unit: "fps")
    if unit.isEmpty { throw QuantityError("“\(text)” has no unit; write for example “\(text) fps”") }
    guard unit == "fps" || unit.hasSuffix("Hz") else {
      throw QuantityError("“\(text)”: “\(unit)” is not a frame rate; write for example “400 fps”")
    }
    let rate = unit == "fps" ? Hertz(number) : try Hertz(parsing: text)
    guard rate.value > 0 else {
      throw QuantityError("“\(text)” records nothing; write “Stop recording” or “record: off”")
    }
    guard rate <= CompiledProtocol.maximumFrameRate else {
      throw QuantityError("“\(text)” is more than \(Self.text(CompiledProtocol.maximumFrameRate))")
    }
    return rate
  }

  /// "400 fps", "0.5 fps".
  static func text(_ rate: Hertz) -> String { "\(ShortNumber.text(rate.value)) fps" }
}
