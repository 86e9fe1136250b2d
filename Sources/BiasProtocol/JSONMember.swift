import JSON
import Quantities

/// A value of the document with its name for messages: "method[3].current_mA".
struct JSONMember {
  let value: JSONValue?
  let name: String

  subscript(_ key: String) -> JSONMember { JSONMember(value: value?[key], name: name.isEmpty ? key : "\(name).\(key)") }
  var isMissing: Bool { value == nil || value == .null }

  func error(_ message: String) -> ProtocolError { ProtocolError(line: 0, column: 0, "“\(name)” \(message)") }

  func elements() throws(ProtocolError) -> [JSONMember] {
    guard let array = value?.array else { throw error(isMissing ? "is missing" : "is not an array") }
    return array.enumerated().map { JSONMember(value: $1, name: "\(name)[\($0)]") }
  }

  func textIfPresent() throws(ProtocolError) -> String? {
    if isMissing { return nil }
    guard let text = value?.string else { throw error("is not text") }
    return text
  }

  func text() throws(ProtocolError) -> String {
    guard let text = try textIfPresent() else { throw error("is missing") }
    return text
  }

  func boolIfPresent() throws(ProtocolError) -> Bool? {
    if isMissing { return nil }
    guard let bool = value?.bool else { throw error("is neither true nor false") }
    return bool
  }

  func integerIfPresent() throws(ProtocolError) -> Int? {
    if isMissing { return nil }
    guard let integer = value?.integer, (0...Int64(Int32.max)).contains(integer) else {
      throw error("is not a whole number from 0 on")
    }
    return Int(integer)
  }

  func integerIfPresent(in range: ClosedRange<Int>) throws(ProtocolError) -> Int? {
    guard let integer = try integerIfPresent() else { return nil }
    guard range.contains(integer) else {
      throw error("is \(integer); it must be from \(range.lowerBound) to \(range.upperBound)")
    }
    return integer
  }

  func integer() throws(ProtocolError) -> Int {
    guard let integer = try integerIfPresent() else { throw error("is missing") }
    return integer
  }

  func numberIfPresent() throws(ProtocolError) -> Double? {
    if isMissing { return nil }
    guard let number = value?.double, number.isFinite else { throw error("is not a number") }
    return number
  }

  func number() throws(ProtocolError) -> Double {
    guard let number = try numberIfPresent() else { throw error("is missing") }
    return number
  }

  func positiveIfPresent() throws(ProtocolError) -> Double? {
    guard let number = try numberIfPresent() else { return nil }
    guard number > 0 else { throw error("must be above 0") }
    return number
  }

  func positive() throws(ProtocolError) -> Double {
    guard let number = try positiveIfPresent() else { throw error("is missing") }
    return number
  }

  /// 0 where nothing is said.
  func time(atMost most: Seconds) throws(ProtocolError) -> Seconds {
    let time = try numberIfPresent() ?? 0
    guard time >= 0 else { throw error("must not be below 0") }
    guard time <= most.value else { throw error("is more than \(most.exactText)") }
    return Seconds(time)
  }

  func lookBackIfPresent() throws(ProtocolError) -> Seconds? {
    guard try positiveIfPresent() != nil else { return nil }
    return try time(atMost: FrameTrigger.maximumBefore)
  }

  func limit<Q: PhysicalQuantity>(_ low: String, _ high: String, _ make: (Double) -> Q) throws(ProtocolError)
    -> ClosedRange<Q>
  {
    let ends = (make(try self[low].number()), make(try self[high].number()))
    guard ends.0 < ends.1 else { throw self[low].error("must be lower than “\(high)”") }
    return ends.0...ends.1
  }
}
