import ControlProtocol
import JSON
import Testing

@Suite("Errors")
struct ControlErrorTests {
  @Test("every kind has a code and an exit code of its own, and comes back from the wire")
  func kinds() {
    let kinds = ControlErrorKind.allCases
    #expect(Set(kinds.map(\.code)).count == kinds.count)
    for kind in kinds {
      #expect(ControlErrorKind(code: kind.code) == kind)
      let error = ControlError(kind, "message", remedy: "Remedy.", details: ["run": "R"])
      #expect(ControlError(json: error.json) == error)
    }
  }

  @Test(
    "exit codes are those of sysexits",
    arguments: [
      (.usage, 64), (.data, 65), (.noInput, 66), (.unavailable, 69), (.software, 70), (.cannotCreate, 73), (.io, 74),
      (.busy, 75), (.permission, 77), (.configuration, 78), (.interrupted, 130),
    ] as [(ControlErrorKind, Int32)])
  func exitCodes(kind: ControlErrorKind, code: Int32) {
    #expect(kind.exitCode == code)
  }

  @Test("an error of another server keeps its message")
  func stranger() {
    let error = ControlError(json: ["code": -1, "message": "no"])
    #expect(error.kind == .software)
    #expect(error.message == "no")
    #expect(ControlError(json: ["code": -32601, "message": "no"]).kind == .unknownMethod)
  }

  @Test("message and remedy make one line")
  func description() {
    #expect("\(ControlError(.busy, "a run is going on", remedy: "Stop it."))" == "a run is going on. Stop it.")
    #expect("\(ControlError(.busy, "a run is going on", remedy: "stop it"))" == "a run is going on; stop it")
    #expect("\(ControlError(.busy, "a run is going on"))" == "a run is going on")
  }

  @Test("the errors of a protocol keep their places")
  func places() {
    let places = [
      ControlError.Place(line: 3, column: 5, message: "“2 mA” is above the limit", remedy: "write “2 pA”"),
      ControlError.Place(line: 9, column: 1, message: "unknown key", remedy: ""),
    ]
    let error = ControlError(file: "demo.yaml", places: places)
    #expect(ControlError(json: error.json).places == places)
    #expect(error.message == "demo.yaml:3:5: “2 mA” is above the limit (and 1 more)")
    #expect(error.kind.exitCode == 65)
  }
}
