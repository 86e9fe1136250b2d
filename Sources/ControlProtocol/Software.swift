/// The one version of everything built from this tree.
package enum Software {
  package static let version = "0.1.0"
  /// What a program says of itself: "insitud 0.1.0".
  package static func title(_ program: String) -> String { "\(program) \(version)" }
}
