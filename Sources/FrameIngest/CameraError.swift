/// What went wrong with a camera: where, why, and what helps.
package enum CameraError: Error, Equatable, CustomStringConvertible {
  /// No such model is built in.
  case unknownModel(String, known: [String])
  /// A setting that cannot be used.
  case badSetting(String)
  /// Nobody answers at the address.
  case unreachable(address: String, reason: String)
  /// The connection was there and is gone.
  case disconnected(address: String, reason: String)
  /// The camera answered, and said no.
  case refused(address: String, request: String, answer: String)
  /// The camera answered with something that is no answer.
  case misunderstood(address: String, request: String, answer: String)

  /// The camera's clock read what no clock reads; no pair is made of it.
  case impossibleTime(address: String, nanoseconds: Int64)

  package var description: String {
    switch self {
    case .unknownModel(let name, let known):
      "camera model “\(name)” is not known; write one of: \(known.joined(separator: ", "))"
    case .badSetting(let text):
      "camera: \(text)"
    case .unreachable(let address, let reason):
      "camera at \(address) cannot be reached: \(reason); is it running, and is `camera.url` right?"
    case .disconnected(let address, let reason):
      "camera at \(address) is gone: \(reason); it is tried again until it answers"
    case .refused(let address, let request, let answer):
      "camera at \(address) refused \(request): \(answer)"
    case .misunderstood(let address, let request, let answer):
      "camera at \(address) answered \(request) with “\(answer)”; is it a camera of this model?"
    case .impossibleTime(let address, let nanoseconds):
      "camera at \(address) says that its clock reads \(nanoseconds) ns; that reading is not used"
    }
  }

  /// The camera lives and merely said no; connecting again would change nothing.
  var isRefusal: Bool { if case .refused = self { true } else { false } }
}
