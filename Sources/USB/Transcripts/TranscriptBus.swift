import Linux

/// A bus on which recorded conversations happen again: for each opening the next transcript whose device and kind match.
package final class TranscriptBus: USBBus {
  private let waiting: Monitor<[Transcript]>

  package init(_ transcripts: [Transcript]) { waiting = Monitor(transcripts) }

  /// - Parameter path: of one transcript, or of a directory with several (`*.usb`), taken in the order of their numbers.
  package convenience init(path: String) throws(Transcript.Problem) {
    var transcripts: [Transcript] = []
    for file in try Self.files(path) { transcripts.append(try Transcript.read(file)) }
    self.init(transcripts)
  }

  private static func files(_ path: String) throws(Transcript.Problem) -> [String] {
    guard FileSystem.isDirectory(path) else { return [path] }
    do throws(LinuxError) {
      let numbered = try FileSystem.list(path).filter { $0.hasSuffix(".usb") }.map { name in
        (number: Int(name.dropLast(4).split(separator: "-").last ?? "") ?? 0, name: name)
      }
      return numbered.sorted { ($0.number, $0.name) < ($1.number, $1.name) }.map { path + "/" + $0.name }
    } catch { throw Transcript.Problem(path: path, line: 0, reason: error.reason) }
  }

  package func open(_ wanted: USBMatch, _ kind: USBInterfaceKind, name: String) throws(USBError) -> any USBTransport {
    let found = waiting.update { waiting -> Transcript? in
      let place = waiting.firstIndex { wanted.matches($0.head.device) && $0.head.kind == kind }
      return place.map { waiting.remove(at: $0) }
    }
    guard let found else {
      throw .notFound(device: name, reason: "no transcript of \(wanted.description) is left to be replayed")
    }
    return TranscriptTransport(found, name: name)
  }
}
