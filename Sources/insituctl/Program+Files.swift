import ControlProtocol
import JSON

extension Program {
  func verify(_ id: String) throws(ControlError) -> Int32 { throw ControlError(.software, "not yet") }
  func checkProtocol(_ path: String) throws(ControlError) { throw ControlError(.software, "not yet") }
  func export(_ id: String, format: String, to path: String) throws(ControlError) {
    throw ControlError(.software, "not yet")
  }
  func plot(_ id: String, to path: String) throws(ControlError) { throw ControlError(.software, "not yet") }
}
