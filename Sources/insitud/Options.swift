/// The daemon's command line.
struct Options: Equatable {
  enum Action: Equatable { case run, checkConfiguration, version, help }

  var action = Action.run
  var configuration = "/etc/insitud/insitud.yaml"
  var runtime: String?
  var data: String?
  /// Where every USB conversation is recorded; nil for nowhere.
  var recordUSB: String?

  static let help = """
    insitud: drives a biasing TEM holder, a potentiostat and a camera, and records what they do.

    usage: insitud [--config FILE] [--runtime DIR] [--data DIR] [--record-usb DIR]
           insitud --check-config [--config FILE]
           insitud --version

      --config FILE    configuration (default /etc/insitud/insitud.yaml)
      --runtime DIR    directory for sockets and the frame ring, instead of the configuration's
      --data DIR       directory for runs, instead of the configuration's
      --record-usb DIR writes every USB conversation to a file there (docs/usb.md); for finding faults
      --check-config   reads the configuration, says what is wrong with it, and ends

    Without hardware: insitud --config config/twin.yaml --runtime DIR
    Operators use insituctl.
    """

  /// Reads the words after the program's name; nil with a message for words that are not understood.
  static func parse(_ words: [String]) -> (options: Options?, problem: String) {
    var options = Options()
    var rest = words[...]
    while let word = rest.popFirst() {
      switch word {
      case "--help", "-h": options.action = .help
      case "--version": options.action = .version
      case "--check-config": options.action = .checkConfiguration
      case "--config", "--runtime", "--data", "--record-usb":
        guard let value = rest.popFirst(), !value.isEmpty else { return (nil, "\(word) needs a value") }
        if word == "--config" { options.configuration = value }
        if word == "--runtime" { options.runtime = value }
        if word == "--data" { options.data = value }
        if word == "--record-usb" { options.recordUSB = value }
      default: return (nil, "“\(word)” is not understood")
      }
    }
    return (options, "")
  }
}
