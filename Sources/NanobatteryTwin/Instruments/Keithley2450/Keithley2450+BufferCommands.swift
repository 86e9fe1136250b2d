/// A column of a reading buffer, as `:TRAC:DATA?` and `:READ?` name it.
enum BufferElement: String, CaseIterable {
  case date = "DATE"
  case formatted = "FORMatted"
  case fraction = "FRACtional"
  case reading = "READing"
  case relative = "RELative"
  case seconds = "SEConds"
  case source = "SOURce"
  case sourceFormatted = "SOURFORMatted"
  case sourceStatus = "SOURSTATus"
  case sourceUnit = "SOURUNIT"
  case status = "STATus"
  case time = "TIME"
  case timeStamp = "TSTamp"
  case unit = "UNIT"
}

extension Keithley2450 {
  static let maximumBuffers = 10

  /// The buffer's name and the elements after it; without a name `defbuffer1`, without elements the reading.
  func bufferAndElements(_ arguments: ArraySlice<String>, _ call: SCPICall) throws(SCPIError)
    -> (String, [BufferElement])
  {
    var rest = arguments
    var name = "defbuffer1"
    if let first = rest.first, first.hasPrefix("\"") || first.hasPrefix("'") {
      name = try call.quoted(rest.startIndex)
      rest.removeFirst()
    }
    guard buffers[name] != nil else { throw .illegalValue }
    var elements: [BufferElement] = []
    for word in rest {
      guard let element = BufferElement.allCases.first(where: { SCPIPattern.isForm(word, of: $0.rawValue) }) else {
        throw .illegalValue
      }
      elements.append(element)
    }
    return (name, elements.isEmpty ? [.reading] : elements)
  }

  /// The name in a string argument, of a buffer that exists.
  private func buffer(_ call: SCPICall, _ index: Int) throws(SCPIError) -> String {
    if index >= call.arguments.count { return "defbuffer1" }
    let name = try call.quoted(index)
    guard buffers[name] != nil else { throw .illegalValue }
    return name
  }

  /// One row, its elements separated by commas.
  func text(_ row: KeithleyReading, _ elements: [BufferElement], _ buffer: ReadingBuffer) -> String {
    elements.map { text(row, $0, buffer) }.joined(separator: ",")
  }

  private func text(_ row: KeithleyReading, _ element: BufferElement, _ buffer: ReadingBuffer) -> String {
    let decimals = precision == 0 ? 6 : precision - 1
    let second = Int64(1_000_000_000)
    let whole = row.stamp >= 0 ? row.stamp / second : (row.stamp - second + 1) / second
    switch element {
    case .reading: return SCPIText.scientific(row.value, decimals: decimals)
    case .source: return SCPIText.scientific(row.source, decimals: decimals)
    case .formatted: return "\(SCPIText.scientific(row.value)) \(row.function.unit)"
    case .sourceFormatted: return "\(SCPIText.scientific(row.source)) \(row.sourceFunction.unit)"
    case .unit: return row.function.unit
    case .sourceUnit: return row.sourceFunction.unit
    case .status: return String(row.status)
    case .sourceStatus: return String(row.sourceStatus)
    case .seconds: return String(whole)
    case .fraction: return "0." + KeithleyTime.padded(Int(row.stamp - whole * second), 9)
    case .relative:
      return SCPIText.fixed(Double(row.stamp - (buffer.firstStamp ?? row.stamp)) * 1e-9, decimals: 9)
    case .date: return KeithleyTime.text(row.stamp, decimals: 9, separator: "/", yearFirst: false).0
    case .time: return KeithleyTime.text(row.stamp, decimals: 9, separator: "/", yearFirst: false).1
    case .timeStamp:
      let (date, time) = KeithleyTime.text(row.stamp, decimals: 9, separator: "/", yearFirst: false)
      return "\(date) \(time)"
    }
  }

  static var bufferCommands: [SCPICommand<Keithley2450>] {
    [
      SCPICommand(
        ":TRACe:CLEar", set: { (smu, call) throws(SCPIError) in smu.buffers[try smu.buffer(call, 0)]?.clear() }),
      SCPICommand(
        ":TRACe:POINts",
        set: { (smu, call) throws(SCPIError) in
          let count = try call.integer(0, in: ReadingBuffer.capacities, default: 100_000)
          let name = try smu.buffer(call, 1)
          guard !smu.isRunning else { throw .settingsConflict }
          smu.buffers[name]?.resize(count)
        },
        query: { (smu, call) throws(SCPIError) in .integer(smu.buffers[try smu.buffer(call, 0)]?.capacity ?? 0) }),
      SCPICommand(
        ":TRACe:ACTual",
        query: { (smu, call) throws(SCPIError) in .integer(smu.buffers[try smu.buffer(call, 0)]?.count ?? 0) }),
      SCPICommand(
        ":TRACe:ACTual:STARt",
        query: { (smu, call) throws(SCPIError) in .integer(smu.buffers[try smu.buffer(call, 0)]?.start ?? 0) }),
      SCPICommand(
        ":TRACe:ACTual:END",
        query: { (smu, call) throws(SCPIError) in .integer(smu.buffers[try smu.buffer(call, 0)]?.end ?? 0) }),
      SCPICommand(
        ":TRACe:FILL:MODE",
        set: { (smu, call) throws(SCPIError) in
          let once = try call.keyword(0, [("CONTinuous", false), ("ONCE", true)])
          smu.buffers[try smu.buffer(call, 1)]?.fillsOnce = once
        },
        query: { (smu, call) throws(SCPIError) in
          .text(smu.buffers[try smu.buffer(call, 0)]?.fillsOnce == true ? "ONCE" : "CONT")
        }),
      SCPICommand(
        ":TRACe:MAKE",
        set: { (smu, call) throws(SCPIError) in
          let name = try call.quoted(0)
          let count = try call.integer(1, in: ReadingBuffer.capacities, default: 100_000)
          guard smu.buffers[name] == nil, smu.buffers.count < Keithley2450.maximumBuffers else { throw .illegalValue }
          var buffer = ReadingBuffer()
          buffer.resize(count)
          smu.buffers[name] = buffer
        }),
      SCPICommand(":TRACe:DATA", query: { (smu, call) throws(SCPIError) in try smu.rows(call) }),
    ]
  }

  /// Rows by place: first and last from 1, first not after last; a ring that has wrapped is read in two pieces.
  private func rows(_ call: SCPICall) throws(SCPIError) -> SCPIReply<Keithley2450> {
    let first = try call.integer(0, in: 1...ReadingBuffer.capacities.upperBound)
    let last = try call.integer(1, in: 1...ReadingBuffer.capacities.upperBound)
    let (name, elements) = try bufferAndElements(call.arguments.dropFirst(2), call)
    guard let buffer = buffers[name], first <= last, last <= buffer.count else { throw .outOfRange }
    var bytes: [UInt8] = []
    for place in first...last {
      if !bytes.isEmpty { bytes.append(UInt8(ascii: ",")) }
      bytes += text(buffer[place], elements, buffer).utf8
    }
    return .bytes(bytes)
  }
}
