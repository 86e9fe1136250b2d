import JSON
import Linux
import RunStore
import SQLite
import Testing

@Suite("The catalog and the data directory")
struct CatalogTests {
  private func entry(_ id: String, _ name: String, started: Int64) -> CatalogEntry {
    CatalogEntry(id: id, name: name, sampleID: nil, directory: "\(id)-\(name)", startedUnixNanoseconds: started)
  }

  private func filled(_ temporary: TemporaryData) throws -> Catalog {
    let catalog = try Catalog(temporary.data)
    try catalog.set(entry("01AAAAAAAAAAAAAAAAAAAAAAA1", "formation", started: 1))
    try catalog.set(entry("01AAAAAAAAAAAAAAAAAAAAAAB2", "formation", started: 2))
    try catalog.set(entry("01BAAAAAAAAAAAAAAAAAAAAAB3", "rest", started: 4))
    try catalog.set(entry("01BBAAAAAAAAAAAAAAAAAAAAB4", "01a", started: 3))
    return catalog
  }

  @Test(
    "a run is found by id, by the beginning of its id, by name and as the last one",
    arguments: [
      ("01AAAAAAAAAAAAAAAAAAAAAAA1", "A1"), ("01aaaaaaaaaaaaaaaaaaaaaaa1", "A1"), ("01BA", "B3"), ("01bb", "B4"),
      ("formation", "B2"), ("rest", "B3"), ("last", "B3"), ("01a", "B4"),
    ])
  func found(_ reference: String, _ end: String) throws {
    let temporary = try TemporaryData()
    #expect(try filled(temporary).find(reference).id.hasSuffix(end))
  }

  @Test("an ambiguous beginning lists the runs, an unknown one says what would do")
  func notFound() throws {
    let temporary = try TemporaryData()
    let catalog = try filled(temporary)
    let ambiguous = #expect(throws: RunStoreError.self) { try catalog.find("01A") }
    #expect(ambiguous?.kind == .ambiguous)
    #expect(ambiguous?.description.contains("01AAAAAAAAAAAAAAAAAAAAAAA1") == true)
    #expect(ambiguous?.description.contains("01AAAAAAAAAAAAAAAAAAAAAAB2") == true)
    for reference in ["02", "form", "", "%", "01_AAAA", "01AAAAAAAAAAAAAAAAAAAAAAA1X"] {
      let error = #expect(throws: RunStoreError.self) { try catalog.find(reference) }
      #expect(error?.kind == .notFound, "\(reference)")
    }
  }

  @Test("there is no last run in an empty catalog")
  func empty() throws {
    let temporary = try TemporaryData()
    let error = #expect(throws: RunStoreError.self) { try Catalog(temporary.data).find("last") }
    #expect(error?.kind == .notFound)
  }

  @Test("an entry is replaced by what is known later, and read by others")
  func updates() throws {
    let temporary = try TemporaryData()
    let catalog = try filled(temporary)
    var changed = try catalog.find("rest")
    changed.outcome = .tripped
    changed.reason = "4.5 V"
    changed.endedUnixNanoseconds = 9
    changed.framesWritten = 400
    try catalog.set(changed)
    let reader = try Catalog(reading: temporary.data)
    #expect(try reader.entries().map(\.startedUnixNanoseconds) == [4, 3, 2, 1])
    #expect(try reader.find("rest") == changed)
    #expect(changed.json["outcome"] == "tripped")
  }

  @Test("a lost catalog is made again from the runs, and what is no run is named")
  func rebuilt() throws {
    let temporary = try TemporaryData()
    for (k, name) in ["one", "two"].enumerated() { try filledRun(temporary, name: name, at: Int64(k)).close() }
    let broken = try RunDirectory.create(in: temporary.data, id: ULID(unixNanoseconds: 1), name: "broken")
    try FileSystem.makeDirectories(temporary.data.runsPath + "/something else")
    let catalog = try Catalog(temporary.data)
    let (adopted, problems) = try catalog.adoptMissing()
    #expect(adopted.map(\.name) == ["one", "two"])
    #expect(problems.count == 1)
    #expect(problems.first?.contains(broken.name) == true)
    let last = try catalog.find("last")
    #expect(last.name == "two")
    #expect(last.outcome == .stopped)
    #expect(last.framesWritten == 8)
    #expect(last.samples == 10)
    #expect(last.sizeBytes > 12288)
    #expect(catalog.directory(of: last)?.id == last.id)
    #expect(try catalog.adoptMissing().adopted.isEmpty)
  }

  @Test("a second daemon on the same data is refused, and may come when the first is gone")
  func lock() throws {
    let temporary = try TemporaryData()
    var first: DaemonLock? = try DaemonLock(data: temporary.data)
    let error = #expect(throws: RunStoreError.self) { try DaemonLock(data: temporary.data) }
    #expect(error?.kind == .busy)
    #expect(error?.description.contains(temporary.data.path) == true)
    #expect(error?.description.contains("process") == true)
    withExtendedLifetime(first) {}
    first = nil
    _ = try DaemonLock(data: temporary.data)
  }

  @Test("a second daemon with the same sockets and rings is refused, whatever its data")
  func runtimeLock() throws {
    let temporary = try TemporaryData()
    let runtime = temporary.data.path
    let first = try DaemonLock(runtime: runtime)
    let error = #expect(throws: RunStoreError.self) { try DaemonLock(runtime: runtime) }
    #expect(error?.kind == .busy)
    #expect(error?.description.contains("has its sockets in \(runtime)") == true)
    withExtendedLifetime(first) {}
  }

  @Test("a data directory that cannot be is an error that names it")
  func impossible() throws {
    let temporary = try TemporaryData()
    try FileSystem.replace(temporary.data.path + "/file", with: [])
    let error = #expect(throws: RunStoreError.self) { try DataDirectory(creating: temporary.data.path + "/file") }
    #expect(error?.description.contains("/file") == true)
    #expect(throws: RunStoreError.self) { try DataDirectory(existing: temporary.data.path + "/none") }
  }
}
