import Glibc
import Quantities

/// The words on the command line.
struct TwinOptions {
  var configurationFile = ""
  var runtime = ""
  var truth: String?
  /// Where the instruments can also be reached by libusb, as a mock of usbfs; nil for nowhere.
  var usbMock: String?
  /// Only read the configuration, and say what is wrong with it.
  var onlyChecks = false
  /// The twin ends when nobody has been connected for so long; nil for never.
  var idleExit: Seconds? = Seconds(60)

  static let usage = """
    usage: insitu-twin --config FILE --runtime DIR [--truth DIR] [--usb mock:DIR] [--idle-exit SECONDS]
           insitu-twin usbip --help | gadget --help     (for a kernel's own USB)
           insitu-twin --version | --help

    Emulates the instruments of a nanobattery experiment: a potentiostat and a biasing
    holder behind DIR/twin-usb (USB/IP), a camera behind DIR/twin-camera.

      --config FILE        reads the section “twin:” of this YAML file
      --runtime DIR        where the sockets and twin.pid are made
      --truth DIR          writes cell.csv, frames.csv, clocks.csv and events.csv there
      --usb mock:DIR       also shows the USB instruments to libusb, in programs that run with
                           UMOCKDEV_DIR=DIR LD_PRELOAD=libumockdev-preload.so.0
      --check-config       reads the configuration, says what is wrong with it, and ends
      --idle-exit SECONDS  ends after so long without a connection (60; 0: never)

    """

  /// Nil when all that was asked for has been printed.
  init?(_ words: some Sequence<String>) throws(TwinFailure) {
    var rest = Array(words)[...]
    func value(of option: String) throws(TwinFailure) -> String {
      guard let value = rest.popFirst(), !value.isEmpty else {
        throw TwinFailure(EX_USAGE, "\(option) needs a value; see --help")
      }
      return value
    }
    while let word = rest.popFirst() {
      switch word {
      case "--config": configurationFile = try value(of: word)
      case "--runtime": runtime = try value(of: word)
      case "--truth": truth = try value(of: word)
      case "--usb":
        let text = try value(of: word)
        guard text.hasPrefix("mock:"), text.count > 5 else {
          throw TwinFailure(EX_USAGE, "--usb \(text): only mock:DIR is known, with a directory on tmpfs")
        }
        usbMock = String(text.dropFirst(5))
      case "--idle-exit":
        let text = try value(of: word)
        guard let seconds = Double(text), seconds >= 0, seconds <= 1e6 else {
          throw TwinFailure(EX_USAGE, "--idle-exit \(text): a number of seconds is needed, 0 for never")
        }
        idleExit = seconds == 0 ? nil : Seconds(seconds)
      case "--check-config": onlyChecks = true
      case "--version":
        print("insitu-twin \(Main.version)")
        return nil
      case "--help", "-h":
        print(Self.usage, terminator: "")
        return nil
      default: throw TwinFailure(EX_USAGE, "unknown option “\(word)”; see --help")
      }
    }
    guard !configurationFile.isEmpty else { throw TwinFailure(EX_USAGE, "--config FILE is missing; see --help") }
    guard onlyChecks || !runtime.isEmpty else { throw TwinFailure(EX_USAGE, "--runtime DIR is missing; see --help") }
    while runtime.count > 1, runtime.hasSuffix("/") { runtime.removeLast() }
  }
}
