import SQLite
import Testing

@Suite struct DatabaseTests {
  private func memory() throws -> Database {
    let database = try Database(":memory:", .create)
    try database.execute(
      "CREATE TABLE sample (id INTEGER PRIMARY KEY, time_ns INTEGER, voltage_V REAL, note TEXT, raw BLOB)")
    return database
  }

  @Test("Every kind of value comes back as it went in")
  func values() throws {
    let database = try memory()
    try database.run(
      "INSERT INTO sample (time_ns, voltage_V, note, raw) VALUES (?1, ?2, ?3, ?4)", .integer(1_763_692_800_123_456_789),
      .real(2e-12), .text("µ Å 𝄞"), .blob([0, 255, 1]))
    try database.run(
      "INSERT INTO sample (time_ns, voltage_V, note, raw) VALUES (?1, ?2, ?3, ?4)", .null, .null, .text(""), .blob([]))
    let rows = try database.rows("SELECT * FROM sample ORDER BY id")
    #expect(rows.count == 2)
    #expect(rows[0].integer("time_ns") == 1_763_692_800_123_456_789)
    #expect(rows[0].double("voltage_V") == 2e-12)
    #expect(rows[0].text("note") == "µ Å 𝄞")
    #expect(rows[0]["raw"] == .blob([0, 255, 1]))
    #expect(rows[1]["time_ns"] == .null)
    #expect(rows[1].double("voltage_V") == nil)
    #expect(rows[1].text("note") == "")
    #expect(rows[1]["raw"] == .blob([]))
    #expect(rows[1]["no such column"] == .null)
    #expect(database.lastInsertedRow == 2)
  }

  @Test("Text with a zero byte inside comes back whole")
  func zeroByte() throws {
    let database = try memory()
    try database.run("INSERT INTO sample (note) VALUES (?1)", .text("a\u{0}b"))
    let text = try database.rows("SELECT note FROM sample")[0].text("note")
    #expect(text == "a\u{0}b")
  }

  @Test("Parameters are values, never SQL")
  func injection() throws {
    let database = try memory()
    let text = "'); DROP TABLE sample; --"
    try database.run("INSERT INTO sample (note) VALUES (?1)", .text(text))
    #expect(try database.rows("SELECT note FROM sample WHERE note = ?1", .text(text)).count == 1)
  }

  @Test("A statement used again has forgotten the values of the time before")
  func reuse() throws {
    let database = try memory()
    let statement = try database.statement("INSERT INTO sample (time_ns, note) VALUES (?1, ?2)")
    try statement.run([.integer(1), .text("a")])
    try statement.run([.integer(2)])
    #expect(try database.statement("INSERT INTO sample (time_ns, note) VALUES (?1, ?2)") === statement)
    let note = try database.rows("SELECT note FROM sample ORDER BY id")[1]["note"]
    #expect(note == .null)
  }

  @Test("A transaction is kept as a whole or not at all")
  func transaction() throws {
    let database = try memory()
    try database.transaction { () throws(DatabaseError) in
      try database.run("INSERT INTO sample (time_ns) VALUES (1)")
      try database.run("INSERT INTO sample (time_ns) VALUES (2)")
    }
    #expect(throws: DatabaseError.self) {
      try database.transaction { () throws(DatabaseError) in
        try database.run("INSERT INTO sample (time_ns) VALUES (3)")
        try database.run("INSERT INTO sample (id) VALUES (1)")
      }
    }
    #expect(try database.rows("SELECT count(*) AS n FROM sample")[0].integer("n") == 2)
    try database.transaction { () throws(DatabaseError) in try database.run("DELETE FROM sample") }
    #expect(try database.rows("SELECT * FROM sample").isEmpty)
  }

  @Test("An error has SQLite's code, its words and the statement")
  func errors() throws {
    let database = try memory()
    try database.run("INSERT INTO sample (id) VALUES (1)")
    let failure = #expect(throws: DatabaseError.self) { try database.run("INSERT INTO sample (id) VALUES (1)") }
    #expect(failure?.code == 1555)  // SQLITE_CONSTRAINT_PRIMARYKEY
    #expect(failure?.description == "UNIQUE constraint failed: sample.id in: INSERT INTO sample (id) VALUES (1)")
    #expect(failure?.isFull == false)
    #expect(throws: DatabaseError.self) { try database.execute("SELEC 1") }
    let missing = #expect(throws: DatabaseError.self) { try Database("/nonexistent/x.sqlite", .readWrite) }
    #expect(missing?.message.contains("/nonexistent/x.sqlite") == true)
  }

  @Test("A full database says so")
  func full() throws {
    let database = try memory()
    try database.execute("PRAGMA max_page_count = 10")
    let failure = #expect(throws: DatabaseError.self) {
      for _ in 0..<100 { try database.run("INSERT INTO sample (raw) VALUES (zeroblob(4000))") }
    }
    #expect(failure?.isFull == true)
  }

  @Test("Columns are read by index while a row is at hand")
  func columns() throws {
    let database = try memory()
    try database.run("INSERT INTO sample (time_ns, voltage_V) VALUES (5, 1.5)")
    var read: [String] = []
    try database.statement("SELECT time_ns, voltage_V, note FROM sample").forEach { row in
      read = row.columnNames + ["\(row.integer(0))", "\(row.double(1))", "\(row.isNull(2))"]
      read.append("\(String(describing: row.optionalDouble(2))) \(String(describing: row.text(2)))")
    }
    #expect(read == ["time_ns", "voltage_V", "note", "5", "1.5", "true", "nil nil"])
  }
}
