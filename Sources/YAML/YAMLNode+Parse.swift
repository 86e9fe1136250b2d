internal import CYAML

extension YAMLNode {
  /// Collections within collections.
  package static let maximumDepth = 32
  package static let maximumBytes = 1 << 20

  /// Reads one document of UTF-8 bytes with libyaml.
  ///
  /// Refused beside bad syntax: duplicate keys, keys that are not scalars, anchors, aliases, tags, a second document,
  /// an empty document, more than `maximumDepth` levels or `maximumBytes` bytes.
  package init(parsing bytes: [UInt8]) throws(YAMLError) {
    guard bytes.count <= Self.maximumBytes else {
      throw YAMLError(
        at: .start, "the document has \(bytes.count) bytes; at most \(Self.maximumBytes) are read",
        remedy: "use “repeat” instead of writing steps out")
    }
    if let place = firstInvalidByte(bytes) {
      throw YAMLError(at: place, "not UTF-8", remedy: "save the file as UTF-8 text")
    }
    let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
    var parser = EventParser(bytes.starts(with: byteOrderMark) ? Array(bytes.dropFirst(3)) : bytes)
    self = try parser.document()
  }

  package init(parsing text: String) throws(YAMLError) { try self.init(parsing: Array(text.utf8)) }
}

extension YAMLMark {
  package static let start = YAMLMark(line: 1, column: 1)

  fileprivate init(_ mark: yaml_mark_t) { self.init(line: mark.line + 1, column: mark.column + 1) }
}

/// The line and column of the first byte that is not UTF-8.
private func firstInvalidByte(_ bytes: [UInt8]) -> YAMLMark? {
  guard String(validating: bytes, as: UTF8.self) == nil else { return nil }
  var decoder = UTF8()
  var input = bytes.makeIterator()
  var mark = YAMLMark.start
  while true {
    switch decoder.decode(&input) {
    case .scalarValue("\n"): mark = YAMLMark(line: mark.line + 1, column: 1)
    case .scalarValue: mark.column += 1
    case .emptyInput: return nil
    case .error: return mark
    }
  }
}

/// libyaml's events, one at a time, as values.
private struct Event {
  enum Kind {
    case streamStart, streamEnd, documentStart, documentEnd, sequenceEnd, mappingEnd
    case sequenceStart, mappingStart
    case alias
    case scalar(String)
  }
  var kind: Kind
  var mark: YAMLMark
  var hasAnchor = false
  var hasTag = false
}

/// Owns the C parser and the bytes it reads.
@safe
private struct EventParser: ~Copyable {
  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private let input: UnsafeMutableBufferPointer<UInt8>

  init(_ bytes: [UInt8]) {
    unsafe input = .allocate(capacity: max(bytes.count, 1))
    _ = unsafe input.initialize(fromContentsOf: bytes)
    unsafe parser = .allocate(capacity: 1)
    // Fails only without memory, where Swift itself traps.
    precondition(unsafe yaml_parser_initialize(parser) == 1, "libyaml is out of memory")
    unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
    unsafe yaml_parser_set_input_string(parser, input.baseAddress, bytes.count)
  }

  deinit {
    unsafe yaml_parser_delete(parser)
    unsafe parser.deallocate()
    unsafe input.deallocate()
  }

  mutating func document() throws(YAMLError) -> YAMLNode {
    _ = try next()  // the start of the stream
    let opening = try next()
    guard case .documentStart = opening.kind else {
      throw YAMLError(at: opening.mark, "the document is empty")
    }
    let root = try node(try next(), depth: 1)
    _ = try next()  // the end of the document
    let closing = try next()
    guard case .streamEnd = closing.kind else {
      throw YAMLError(
        at: closing.mark, "a second document begins here", remedy: "keep one document per file; remove the “---”")
    }
    return root
  }

  private mutating func node(_ event: Event, depth: Int) throws(YAMLError) -> YAMLNode {
    guard depth <= YAMLNode.maximumDepth + 1 else {
      throw YAMLError(at: event.mark, "nested deeper than \(YAMLNode.maximumDepth) levels")
    }
    if event.hasAnchor {
      throw YAMLError(at: event.mark, "anchors (&name) are not allowed", remedy: "write the value itself")
    }
    if event.hasTag {
      throw YAMLError(
        at: event.mark, "tags (!name) are not allowed", remedy: "put text that begins with “!” in quotes")
    }
    switch event.kind {
    case .scalar(let text):
      return YAMLNode(mark: event.mark, content: .scalar(text))
    case .sequenceStart:
      return YAMLNode(mark: event.mark, content: .sequence(try elements(depth: depth + 1)))
    case .mappingStart:
      return YAMLNode(mark: event.mark, content: .mapping(try entries(depth: depth + 1)))
    case .alias:
      throw YAMLError(
        at: event.mark, "aliases (*name) are not allowed", remedy: "write the value itself, or quote the text")
    case .streamStart, .streamEnd, .documentStart, .documentEnd, .sequenceEnd, .mappingEnd:
      throw YAMLError(at: event.mark, "a value is missing")
    }
  }

  private mutating func elements(depth: Int) throws(YAMLError) -> [YAMLNode] {
    var nodes: [YAMLNode] = []
    while true {
      let event = try next()
      if case .sequenceEnd = event.kind { return nodes }
      nodes.append(try node(event, depth: depth))
    }
  }

  private mutating func entries(depth: Int) throws(YAMLError) -> [YAMLNode.Entry] {
    var entries: [YAMLNode.Entry] = []
    var lines: [String: Int] = [:]
    while true {
      let event = try next()
      if case .mappingEnd = event.kind { return entries }
      let key = try node(event, depth: depth)
      guard let name = key.scalar else {
        throw YAMLError(
          at: key.mark, "a key must be plain text, not \(key.kind)", remedy: "put text with “[” or “{” in quotes")
      }
      if let line = lines[name] {
        throw YAMLError(at: key.mark, "the key “\(name)” is there already, in line \(line)", remedy: "remove one")
      }
      lines[name] = key.mark.line
      entries.append(YAMLNode.Entry(key: key, value: try node(try next(), depth: depth)))
    }
  }

  private mutating func next() throws(YAMLError) -> Event {
    var event = unsafe yaml_event_t()
    guard unsafe yaml_parser_parse(parser, &event) == 1 else { throw failure() }
    defer { unsafe yaml_event_delete(&event) }
    let mark = unsafe YAMLMark(event.start_mark)
    switch unsafe event.type {
    case YAML_STREAM_START_EVENT: return Event(kind: .streamStart, mark: mark)
    case YAML_DOCUMENT_START_EVENT: return Event(kind: .documentStart, mark: mark)
    case YAML_DOCUMENT_END_EVENT: return Event(kind: .documentEnd, mark: mark)
    case YAML_SEQUENCE_END_EVENT: return Event(kind: .sequenceEnd, mark: mark)
    case YAML_MAPPING_END_EVENT: return Event(kind: .mappingEnd, mark: mark)
    case YAML_ALIAS_EVENT: return Event(kind: .alias, mark: mark)
    case YAML_SEQUENCE_START_EVENT:
      let start = unsafe event.data.sequence_start
      return unsafe Event(
        kind: .sequenceStart, mark: mark, hasAnchor: start.anchor != nil, hasTag: start.tag != nil)
    case YAML_MAPPING_START_EVENT:
      let start = unsafe event.data.mapping_start
      return unsafe Event(
        kind: .mappingStart, mark: mark, hasAnchor: start.anchor != nil, hasTag: start.tag != nil)
    case YAML_SCALAR_EVENT:
      let scalar = unsafe event.data.scalar
      let bytes = unsafe UnsafeBufferPointer(start: scalar.value, count: scalar.length)
      let text = unsafe String(decoding: bytes, as: UTF8.self)
      return unsafe Event(
        kind: .scalar(text), mark: mark, hasAnchor: scalar.anchor != nil, hasTag: scalar.tag != nil)
    default: return Event(kind: .streamEnd, mark: mark)
    }
  }

  /// The parser's own words, with the remedy for what people meet most.
  private func failure() -> YAMLError {
    let state = unsafe parser.pointee
    let problem = unsafe state.problem.map { unsafe String(cString: $0) } ?? "not YAML"
    let isReaderError = unsafe state.error == YAML_READER_ERROR
    // A key without ":" is noticed only behind it; the key is what the reader looks for.
    let isKey = problem == "could not find expected ':'"
    let mark =
      unsafe isReaderError
      ? place(ofByte: state.problem_offset)
      // libyaml counts one line more at the end of a text whose last line has no line break.
      : min(YAMLMark(isKey ? state.context_mark : state.problem_mark), place(ofByte: input.count))
    let context = unsafe state.context.map { unsafe String(cString: $0) + ": " } ?? ""
    return YAMLError(at: mark, "not YAML: \(context)\(problem)", remedy: remedy(for: problem))
  }

  private func place(ofByte offset: Int) -> YAMLMark {
    var mark = YAMLMark.start
    for byte in unsafe Array(input.prefix(offset)) {
      if byte == UInt8(ascii: "\n") {
        mark = YAMLMark(line: mark.line + 1, column: 1)
      } else if byte & 0xC0 != 0x80 {
        mark.column += 1
      }
    }
    return mark
  }
}

private func remedy(for problem: String) -> String? {
  switch problem {
  case "mapping values are not allowed in this context":
    "a “:” and a space begin a value; check the indentation, or put the text in quotes"
  case "found character that cannot start any token", "found a tab character that violates indentation":
    "indent with spaces, not tabs; put text that begins with @, ` or % in quotes"
  case "did not find expected key", "did not find expected '-' indicator", "could not find expected ':'":
    "check the indentation and the “:” of this line and the one before"
  case "did not find expected ',' or ']'", "did not find expected ',' or '}'":
    "close the bracket, and put a comma between the values"
  case "control characters are not allowed": "remove the character"
  default: nil
  }
}
