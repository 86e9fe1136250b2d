import Glibc
import Linux
import Quantities
import Testing

/// Checked by systemd itself, where it is installed.
@Suite("The unit of systemd")
struct ServiceUnitTests {
  private static let analyze = "/usr/bin/systemd-analyze"
  private static let sysusers = "/usr/bin/systemd-sysusers"

  private static func run(_ program: String, _ arguments: String...) throws -> (code: Int32, said: String) {
    var template = Array("/tmp/insitud-unit-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestFailure("no temporary directory") }
    let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { for name in ["/insitud.service", "/said.out", "/said.err", ""] { FileSystem.remove(directory + name) } }
    defer { rmdir(directory) }
    // The program as it was built stands for the one that will be installed.
    let unit = String(
      decoding: try FileSystem.read(Programs.script("../systemd/insitud.service"), limit: 1 << 16), as: UTF8.self)
    let parts = unit.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.hasPrefix("ExecStart=/usr/bin/insitud ")
        ? "ExecStart=\(Programs.daemon) " + line.dropFirst("ExecStart=/usr/bin/insitud ".count) : String(line)
    }
    try write(directory + "/insitud.service", parts.joined(separator: "\n"))
    let child = try ChildProcess(
      program, arguments.map { $0 == "UNIT" ? directory + "/insitud.service" : $0 }, outputs: directory + "/said",
      environment: ["SYSTEMD_COLORS": "0"])
    let code = try child.waitForExit(within: Seconds(20))
    return (code, child.output + child.errors)
  }

  @Test("systemd finds nothing wrong with the unit", .enabled(if: FileSystem.exists(analyze)))
  func verify() throws {
    let verified = try Self.run(Self.analyze, "verify", "--man=no", "--recursive-errors=no", "UNIT")
    #expect(verified.code == 0, "\(verified.said)")
    #expect(!verified.said.contains("insitud.service"), "\(verified.said)")
  }

  @Test("The user that the unit names is made by the file beside it", .enabled(if: FileSystem.exists(sysusers)))
  func user() throws {
    let path = Programs.script("../systemd/insitud.sysusers")
    let made = try Self.run(Self.sysusers, "--dry-run", path)
    #expect(made.code == 0, "\(made.said)")
    let text = String(decoding: try FileSystem.read(path, limit: 1 << 16), as: UTF8.self)
    let unit = String(
      decoding: try FileSystem.read(Programs.script("../systemd/insitud.service"), limit: 1 << 16), as: UTF8.self)
    #expect(unit.contains("User=insitud") && text.contains("u insitud "))
  }
}
