import Glibc

/// insituctl: the operator's words to insitud.
@main struct Main {
  static func main() {
    var environment: [String: String] = [:]
    for name in ["INSITUD_ENDPOINT"] {
      if let value = unsafe getenv(name) { environment[name] = unsafe String(cString: value) }
    }
    exit(
      Program.run(Array(CommandLine.arguments.dropFirst()), environment: environment, console: .standard))
  }
}
