internal import CLua

/// A value that crosses between a script and the instrument.
enum TSPValue: Equatable {
  case none
  case flag(Bool)
  case number(Double)
  case text(String)

  var number: Double? {
    switch self {
    case .number(let value): value
    case .flag(let value): value ? 1 : 0
    case .text(let text): Double(text)
    case .none: nil
    }
  }
  var text: String? { if case .text(let text) = self { text } else { nil } }
}

/// What a script did last.
enum TSPOutcome: Equatable {
  case finished
  case failed(String)
  /// It wants something that takes time: a reading, a pause, a trigger. `resume` goes on with the answer.
  case asks(String, [TSPValue])
  /// It has computed for as long as it may without asking for anything.
  case interrupted
}

/// Lua as the script processor of an instrument: one script at a time, as a coroutine that stops wherever time must pass.
///
/// Debian's Lua is 5.1; the instrument's own is 5.0 with additions (from memory of the manual), so what runs in both
/// must keep to what they share.
@safe
final class TSPInterpreter {
  /// Instructions of a script before it is interrupted.
  private static let instructionsAtOnce: Int32 = 20_000

  private let state: OpaquePointer
  private var script: OpaquePointer?
  private var anchor: Int32 = 0
  /// Answers what takes no time: an attribute read or written, a line printed.
  var answer: (String, [TSPValue]) -> [TSPValue] = { _, _ in [] }

  init() {
    guard let made = unsafe luaL_newstate() else { fatalError("no memory for an interpreter") }
    unsafe state = made
    unsafe luaL_openlibs(state)
    unsafe lua_pushlightuserdata(state, Unmanaged.passUnretained(self).toOpaque())
    unsafe lua_pushcclosure(state, callInstrument, 1)
    unsafe lua_setfield(state, LUA_GLOBALSINDEX, "instrument")
  }

  /// Puts the instrument's names in place; `answer` must be there.
  func begin() {
    // Nothing of the prelude can fail but memory and its own text.
    guard start(tspPrelude, named: INSITU_INSTRUMENT) == nil, resume([]) == .finished else { fatalError("the prelude does not run") }
  }

  deinit { unsafe lua_close(state) }

  /// True while a script is under way.
  var isBusy: Bool { unsafe script != nil }

  /// Compiles a chunk as the script to `resume` next.
  /// - Returns: what is wrong with its syntax; nil when it can run.
  func start(_ text: String, named name: String = "=tsp") -> String? {
    abandon()
    let bytes = text.utf8.map { CChar(bitPattern: $0) }
    guard let thread = unsafe lua_newthread(state) else { return "no memory" }
    let status = unsafe luaL_loadbuffer(thread, bytes, bytes.count, name)
    guard status == 0 else {
      let problem = unsafe Self.text(thread, -1) ?? "unknown"
      unsafe lua_settop(state, -2)
      return problem
    }
    unsafe anchor = luaL_ref(state, LUA_REGISTRYINDEX)
    unsafe script = thread
    return nil
  }

  /// Lets the script go on with the answer to what it asked.
  func resume(_ values: [TSPValue]) -> TSPOutcome {
    guard let thread = unsafe script else { return .finished }
    for value in values { unsafe Self.push(thread, value) }
    unsafe insitu_limit(thread, Self.instructionsAtOnce)
    let status = unsafe lua_resume(thread, Int32(values.count))
    switch status {
    case LUA_YIELD:
      let count = unsafe lua_gettop(thread)
      guard count > 0 else { return .interrupted }
      let asked = unsafe Self.values(thread, count)
      unsafe lua_settop(thread, 0)
      return .asks(asked.first?.text ?? "", Array(asked.dropFirst()))
    case 0:
      abandon()
      return .finished
    default:
      let problem = unsafe Self.text(thread, -1) ?? "unknown"
      abandon()
      return .failed(problem)
    }
  }

  /// Ends the script where it is.
  func abandon() {
    guard unsafe script != nil else { return }
    unsafe script = nil
    unsafe luaL_unref(state, LUA_REGISTRYINDEX, anchor)
  }

  // MARK: values

  fileprivate static func values(_ state: OpaquePointer, _ count: Int32) -> [TSPValue] {
    guard count > 0 else { return [] }
    return (1...count).map { index in
      switch unsafe lua_type(state, index) {
      case LUA_TNUMBER: unsafe .number(lua_tonumber(state, index))
      case LUA_TBOOLEAN: unsafe .flag(lua_toboolean(state, index) != 0)
      case LUA_TSTRING: unsafe .text(text(state, index) ?? "")
      default: .none
      }
    }
  }

  private static func text(_ state: OpaquePointer, _ index: Int32) -> String? {
    var count = 0
    guard let bytes = unsafe lua_tolstring(state, index, &count) else { return nil }
    let buffer = unsafe UnsafeBufferPointer(start: bytes, count: count)
    return unsafe String(decoding: buffer.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  fileprivate static func push(_ state: OpaquePointer, _ value: TSPValue) {
    switch value {
    case .none: unsafe lua_pushnil(state)
    case .flag(let flag): unsafe lua_pushboolean(state, flag ? 1 : 0)
    case .number(let number): unsafe lua_pushnumber(state, number)
    case .text(let text):
      let bytes = text.utf8.map { CChar(bitPattern: $0) }
      unsafe lua_pushlstring(state, bytes, bytes.count)
    }
  }
}

/// `instrument(what, …)` as scripts see it. It raises no error: Lua would jump over these frames.
private func callInstrument(_ state: OpaquePointer?) -> Int32 {
  guard let state = unsafe state, let pointer = unsafe lua_touserdata(state, LUA_GLOBALSINDEX - 1) else { return 0 }
  // The interpreter owns the state that calls, so it outlives the call.
  let interpreter = unsafe Unmanaged<TSPInterpreter>.fromOpaque(pointer).takeUnretainedValue()
  let arguments = unsafe TSPInterpreter.values(state, lua_gettop(state))
  let results = interpreter.answer(arguments.first?.text ?? "", Array(arguments.dropFirst()))
  guard unsafe lua_checkstack(state, Int32(results.count)) != 0 else { return 0 }
  for result in results { unsafe TSPInterpreter.push(state, result) }
  return Int32(results.count)
}
