internal import CSQLite

/// What SQLite said no to: its extended result code, its message and the statement.
package struct DatabaseError: Error, Equatable, CustomStringConvertible {
  package var code: Int32
  package var message: String
  package var statement: String

  package var description: String { statement.isEmpty ? message : "\(message) in: \(statement)" }
  /// The disk (or the quota) is full.
  package var isFull: Bool { code & 0xFF == SQLITE_FULL }
  /// Another connection holds what this one wanted.
  package var isBusy: Bool { code & 0xFF == SQLITE_BUSY || code & 0xFF == SQLITE_LOCKED }

  package init(code: Int32, message: String, statement: String) {
    self.code = code
    self.message = message
    self.statement = statement
  }
}

/// An open database. Used by one thread at a time.
@safe
package final class Database: @unchecked Sendable {
  package enum Access: Sendable { case create, readWrite, readOnly }

  fileprivate let handle: OpaquePointer
  package let path: String
  private var cached: [String: Statement] = [:]

  /// Opens with a busy time-out of 5 s and foreign keys on.
  package init(_ path: String, _ access: Access) throws(DatabaseError) {
    let flags: Int32 =
      switch access {
      case .create: SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
      case .readWrite: SQLITE_OPEN_READWRITE
      case .readOnly: SQLITE_OPEN_READONLY
      }
    var opened: OpaquePointer?
    let code = unsafe sqlite3_open_v2(path, &opened, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
    guard code == SQLITE_OK, let opened = unsafe opened else {
      let message = unsafe opened.map { unsafe String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
      unsafe sqlite3_close_v2(opened)
      throw DatabaseError(code: code, message: "\(message): \(path)", statement: "")
    }
    unsafe handle = unsafe opened
    self.path = path
    unsafe sqlite3_busy_timeout(handle, 5000)
    try execute("PRAGMA foreign_keys = ON")
  }

  deinit {
    cached.removeAll()
    unsafe sqlite3_close_v2(handle)
  }

  /// Runs one or more statements that give no rows.
  package func execute(_ sql: String) throws(DatabaseError) {
    guard unsafe sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else { throw failure(sql) }
  }

  /// A prepared statement, kept for the next use of the same text.
  package func statement(_ sql: String) throws(DatabaseError) -> Statement {
    if let known = cached[sql] { return known }
    let made = try Statement(self, sql)
    cached[sql] = made
    return made
  }

  /// Runs one statement with values; rows are not wanted.
  package func run(_ sql: String, _ values: Value...) throws(DatabaseError) {
    try statement(sql).run(values)
  }

  /// All rows of a query.
  package func rows(_ sql: String, _ values: Value...) throws(DatabaseError) -> [Row] {
    var all: [Row] = []
    try statement(sql).forEach(values) { all.append(Row($0)) }
    return all
  }

  /// Commits what `body` did, or nothing of it when it throws.
  package func transaction<R>(_ body: () throws(DatabaseError) -> R) throws(DatabaseError) -> R {
    try execute("BEGIN IMMEDIATE")
    do throws(DatabaseError) {
      let result = try body()
      try execute("COMMIT")
      return result
    } catch {
      try? execute("ROLLBACK")
      throw error
    }
  }

  package var lastInsertedRow: Int64 { unsafe sqlite3_last_insert_rowid(handle) }

  fileprivate func failure(_ sql: String) -> DatabaseError {
    DatabaseError(
      code: unsafe sqlite3_extended_errcode(handle), message: unsafe String(cString: sqlite3_errmsg(handle)),
      statement: sql)
  }

  /// A value of a column or a parameter.
  package enum Value: Hashable, Sendable {
    case null
    case integer(Int64)
    case real(Double)
    case text(String)
    case blob([UInt8])

    package static func optional(_ value: Double?) -> Value { value.map(Value.real) ?? .null }
    package static func optional(_ value: Int64?) -> Value { value.map(Value.integer) ?? .null }
    package static func optional(_ value: String?) -> Value { value.map(Value.text) ?? .null }
  }

  /// A row taken out of the statement: column names and values.
  package struct Row: Sendable {
    private let names: [String]
    private let values: [Value]

    fileprivate init(_ statement: Statement) {
      names = statement.columnNames
      values = (0..<names.count).map { statement.value($0) }
    }

    package subscript(_ name: String) -> Value { names.firstIndex(of: name).map { values[$0] } ?? .null }
    package func integer(_ name: String) -> Int64? { if case .integer(let v) = self[name] { v } else { nil } }
    package func text(_ name: String) -> String? { if case .text(let v) = self[name] { v } else { nil } }
    package func double(_ name: String) -> Double? {
      switch self[name] {
      case .real(let v): v
      case .integer(let v): Double(v)
      default: nil
      }
    }
  }
}

/// A prepared statement. Columns are read by index while `forEach` stands on a row.
@safe
package final class Statement {
  private let handle: OpaquePointer
  private unowned let database: Database
  package let sql: String

  fileprivate init(_ database: Database, _ sql: String) throws(DatabaseError) {
    var prepared: OpaquePointer?
    guard unsafe sqlite3_prepare_v2(database.handle, sql, -1, &prepared, nil) == SQLITE_OK,
      let prepared = unsafe prepared
    else { throw database.failure(sql) }
    unsafe handle = unsafe prepared
    self.database = database
    self.sql = sql
  }

  deinit { unsafe sqlite3_finalize(handle) }

  /// Runs to the end with `values` bound to ?1, ?2, …
  package func run(_ values: [Database.Value]) throws(DatabaseError) {
    try forEach(values) { _ in }
  }

  /// Calls `body` for every row.
  package func forEach(_ values: [Database.Value] = [], _ body: (Statement) -> Void) throws(DatabaseError) {
    defer {
      unsafe sqlite3_reset(handle)
      unsafe sqlite3_clear_bindings(handle)
    }
    for (index, value) in values.enumerated() { bind(Int32(index + 1), value) }
    while true {
      switch unsafe sqlite3_step(handle) {
      case SQLITE_ROW: body(self)
      case SQLITE_DONE: return
      default: throw database.failure(sql)
      }
    }
  }

  private func bind(_ index: Int32, _ value: Database.Value) {
    // SQLITE_TRANSIENT: SQLite copies the bytes before the call returns.
    let transient = unsafe unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    switch value {
    case .null: unsafe sqlite3_bind_null(handle, index)
    case .integer(let v): unsafe sqlite3_bind_int64(handle, index, v)
    case .real(let v): unsafe sqlite3_bind_double(handle, index, v)
    case .text(let v): unsafe sqlite3_bind_text(handle, index, v, Int32(v.utf8.count), transient)
    case .blob(let v): unsafe sqlite3_bind_blob(handle, index, v, Int32(v.count), transient)
    }
  }

  package var columnNames: [String] {
    let count = unsafe sqlite3_column_count(handle)
    return (0..<count).map { unsafe String(cString: sqlite3_column_name(handle, $0)) }
  }

  package func isNull(_ column: Int) -> Bool { unsafe sqlite3_column_type(handle, Int32(column)) == SQLITE_NULL }
  package func integer(_ column: Int) -> Int64 { unsafe sqlite3_column_int64(handle, Int32(column)) }
  package func double(_ column: Int) -> Double { unsafe sqlite3_column_double(handle, Int32(column)) }
  package func optionalDouble(_ column: Int) -> Double? { isNull(column) ? nil : double(column) }
  package func optionalInteger(_ column: Int) -> Int64? { isNull(column) ? nil : integer(column) }
  package func text(_ column: Int) -> String? {
    guard let bytes = unsafe sqlite3_column_text(handle, Int32(column)) else { return nil }
    let count = unsafe Int(sqlite3_column_bytes(handle, Int32(column)))
    return unsafe String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
  }

  package func value(_ column: Int) -> Database.Value {
    switch unsafe sqlite3_column_type(handle, Int32(column)) {
    case SQLITE_INTEGER: return .integer(integer(column))
    case SQLITE_FLOAT: return .real(double(column))
    case SQLITE_TEXT: return .text(text(column) ?? "")
    case SQLITE_BLOB:
      let count = unsafe Int(sqlite3_column_bytes(handle, Int32(column)))
      let bytes = unsafe UnsafeRawBufferPointer(start: sqlite3_column_blob(handle, Int32(column)), count: count)
      return unsafe .blob(Array(bytes))
    default: return .null
    }
  }
}
