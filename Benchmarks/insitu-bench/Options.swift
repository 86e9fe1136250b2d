/// Words of the command line; `run.sh` gives them all.
struct Options {
  static let usage = """
    usage: insitu-bench --programs DIR --configuration FILE --work DIR --runtime DIR [--fio PATH] [--python PATH]
                        [--only PART] [--seconds N]
      --programs       where insitud and insitu-twin are
      --configuration  config/twin.yaml
      --work           an empty directory on the disk to record to
      --runtime        an empty directory with a short path, for sockets
      --fio            fio, as the yardstick of the disk; without it a loop of our own
      --python         a python with libertem-dectris, the yardstick of SIMPLON; without it that part is left out
      --peer           Benchmarks/simplon_peer.py
      --only           one part: ring, pixels, disk, simplon, load, latency, limit or usb
      --seconds        how long the long recordings of the part disk last; 60, and 0 leaves them out

    """

  static let mostSeconds = 86_400.0

  var programs = ""
  var configuration = ""
  var work = ""
  var runtime = ""
  var fio: String?
  var python: String?
  var peer = "Benchmarks/simplon_peer.py"
  var only: Part?
  var seconds = 60.0

  enum Part: String { case ring, pixels, disk, simplon, load, latency, limit, usb }

  func wants(_ part: Part) -> Bool { only == nil || only == part }

  /// Nil when a word is not known, has no value, or is missing.
  init?(_ words: [String]) {
    var rest = words[...]
    while let word = rest.popFirst() {
      guard let value = rest.popFirst() else { return nil }
      switch word {
      case "--programs": programs = value
      case "--configuration": configuration = value
      case "--work": work = value
      case "--runtime": runtime = value
      case "--fio": fio = value
      case "--python": python = value
      case "--peer": peer = value
      case "--only":
        guard let part = Part(rawValue: value) else { return nil }
        only = part
      case "--seconds":
        guard let number = Double(value), (0...Self.mostSeconds).contains(number) else { return nil }
        seconds = number
      default: return nil
      }
    }
    if [programs, configuration, work, runtime].contains("") { return nil }
  }
}
