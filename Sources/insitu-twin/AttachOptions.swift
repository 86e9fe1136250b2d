import Glibc

/// The words of `insitu-twin usbip …` and `insitu-twin gadget …`: instruments for a kernel's own USB.
struct AttachOptions {
  enum Front: Equatable {
    /// USB/IP over TCP at `HOST:PORT`.
    case usbip(listen: String)
    /// Mounted FunctionFS directories, of the potentiostat and of the holder; one may be missing.
    case gadget(potentiostat: String?, holder: String?)
    /// Prints what a gadget must be set up with, and ends.
    case describe
  }

  var front: Front
  var configurationFile = ""
  var truth: String?

  static let usage = """
    usage: insitu-twin usbip --config FILE [--listen HOST:PORT] [--truth DIR]
           insitu-twin gadget --config FILE --functionfs DIR [DIR] [--truth DIR]
           insitu-twin gadget --config FILE --describe

    The potentiostat and the holder as USB devices for the kernel of a Linux computer
    (docs/twin-hardware.md).

      usbip               serves them by USB/IP over TCP: usbip attach -r HOST -b 1-1
      --listen HOST:PORT  where (127.0.0.1:3240); USB/IP asks for no password
      gadget              is the device itself, on a computer with a USB device controller
      --functionfs DIR…   mounted FunctionFS directories: the potentiostat's, then the holder's;
                          or potentiostat=DIR, holder=DIR
      --describe          prints name, vendor, product, serial, maker and product name of each
      --config FILE       reads the section “twin:” of this YAML file
      --truth DIR         writes cell.csv, clocks.csv and events.csv there

    """

  /// True when the first word asks for one of these fronts.
  static func isAskedFor(_ words: [String]) -> Bool { words.first == "usbip" || words.first == "gadget" }

  /// Nil when all that was asked for has been printed.
  init?(_ words: [String]) throws(TwinFailure) {
    let isGadget = words.first == "gadget"
    var rest = words.dropFirst()
    var listen = "127.0.0.1:3240"
    var directories: [String] = []
    var describes = false
    func value(of option: String) throws(TwinFailure) -> String {
      guard let value = rest.popFirst(), !value.isEmpty else {
        throw TwinFailure(EX_USAGE, "\(option) needs a value; see insitu-twin usbip --help")
      }
      return value
    }
    while let word = rest.popFirst() {
      switch (word, isGadget) {
      case ("--config", _): configurationFile = try value(of: word)
      case ("--truth", _): truth = try value(of: word)
      case ("--listen", false): listen = try value(of: word)
      case ("--functionfs", true):
        directories.append(try value(of: word))
        while rest.first?.hasPrefix("--") == false { directories.append(rest.removeFirst()) }
      case ("--describe", true): describes = true
      case ("--help", _), ("-h", _):
        print(Self.usage, terminator: "")
        return nil
      default: throw TwinFailure(EX_USAGE, "unknown option “\(word)”; see insitu-twin usbip --help")
      }
    }
    guard !configurationFile.isEmpty else {
      throw TwinFailure(EX_USAGE, "--config FILE is missing; see insitu-twin usbip --help")
    }
    if !isGadget {
      front = .usbip(listen: listen)
    } else if describes {
      front = .describe
    } else {
      front = try Self.gadget(directories)
    }
  }

  private static func gadget(_ words: [String]) throws(TwinFailure) -> Front {
    var named: [String: String] = [:]
    var order = ["potentiostat", "holder"][...]
    for word in words {
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      let isNamed = parts.count == 2 && ["potentiostat", "holder"].contains(parts[0])
      let name = isNamed ? parts[0] : order.first
      guard let name, named[name] == nil else {
        throw TwinFailure(EX_USAGE, "--functionfs \(word): there are two instruments, each with one directory")
      }
      order.removeAll { $0 == name }
      named[name] = isNamed ? parts[1] : word
    }
    guard !named.isEmpty else {
      throw TwinFailure(EX_USAGE, "--functionfs DIR is missing; packaging/usb-e2e/gadget.sh makes one")
    }
    return .gadget(potentiostat: named["potentiostat"], holder: named["holder"])
  }
}
