import Glibc
import Linux
import Quantities
import Testing

/// A directory of its own for each test.
struct Scratch {
  let path: String

  init() throws {
    var template = Array("/tmp/insitud-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw LinuxError("mkdtemp") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The directory must hold files only.
  func remove() {
    for name in (try? FileSystem.list(path)) ?? [] { FileSystem.remove("\(path)/\(name)") }
    rmdir(path)
  }
}

@Suite struct FileSystemTests {
  @Test("A file is replaced as a whole, and nothing is left beside it")
  func replace() throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let path = scratch.path + "/state.json"
    try FileSystem.replace(path, with: Array("first, which is longer".utf8))
    try FileSystem.replace(path, with: Array("second".utf8))
    #expect(try FileSystem.read(path) == Array("second".utf8))
    #expect(try FileSystem.list(scratch.path) == ["state.json"])
    try FileSystem.replace(path, with: [], durably: true)
    #expect(try FileSystem.read(path) == [])
    #expect(try FileSystem.list(scratch.path) == ["state.json"])
    #expect(throws: LinuxError.self) { try FileSystem.synchronizeDirectory(of: scratch.path + "/none/state.json") }
  }

  @Test("A replacement that cannot be written leaves the old file")
  func failedReplace() throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let path = scratch.path + "/state.json"
    try FileSystem.replace(path, with: [1])
    try FileSystem.makeDirectories(path + ".new")
    let error = #expect(throws: LinuxError.self) { try FileSystem.replace(path, with: [2]) }
    #expect(error?.number == EISDIR)
    #expect(try FileSystem.read(path) == [1])
    rmdir(path + ".new")
  }

  @Test("A file larger than the limit is refused by name")
  func limit() throws {
    let scratch = try Scratch()
    defer { scratch.remove() }
    let path = scratch.path + "/large"
    try FileSystem.replace(path, with: [UInt8](repeating: 7, count: 1001))
    let error = #expect(throws: LinuxError.self) { try FileSystem.read(path, limit: 1000) }
    #expect(error == LinuxError("read", path, number: EFBIG))
    #expect(try FileSystem.read(path, limit: 1001).count == 1001)
    #expect(FileSystem.size(of: path) == 1001)
  }

  @Test("Files that tell no size are read to their end")
  func unsized() throws {
    #expect(try String(decoding: FileSystem.read("/proc/self/status"), as: UTF8.self).hasPrefix("Name:"))
  }

  @Test("What is missing or no directory is an error with the call, the name and the reason")
  func missing() throws {
    let error = #expect(throws: LinuxError.self) { try FileSystem.read("/nonexistent/x") }
    #expect(error?.description == "open /nonexistent/x: No such file or directory")
    #expect(throws: LinuxError("mkdir", "/dev/null", number: ENOTDIR)) { try FileSystem.makeDirectories("/dev/null") }
    #expect(throws: LinuxError.self) { try FileSystem.list("/nonexistent") }
    #expect(!FileSystem.exists("/nonexistent"))
    #expect(FileSystem.freeBytes(at: "/nonexistent") == nil)
    #expect(FileSystem.freeBytes(at: "/")! >= 0)
  }

  @Test("Directories are made with those above them, once or twice")
  func directories() throws {
    let scratch = try Scratch()
    let path = scratch.path + "/a/b"
    try FileSystem.makeDirectories(path)
    try FileSystem.makeDirectories(path)
    #expect(FileSystem.isDirectory(path))
    #expect(FileSystem.isWritable(path))
    rmdir(path)
    rmdir(scratch.path + "/a")
    scratch.remove()
  }
}
