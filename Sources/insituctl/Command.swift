import RunExport

/// What the words of a command line ask for.
enum Command: Equatable, Sendable {
  case status
  case devices
  case holder(HolderCommand)
  case beam(BeamCommand)
  case runStart(file: String, name: String?, compression: String?, follows: Bool)
  case runStop
  case runPause
  case runResume
  case emergencyStop
  case note(String)
  case runsList
  case runsShow(String)
  case runsVerify(String)
  case framesKeep(last: String, camera: String?)
  case framesLeft
  case framesRecover
  case framesDiscard
  case protocolCheck(String)
  case export(id: String, format: ExportFormat, output: String)
  case plot(id: String, output: String)
  case watch
  /// A count ends it after so many messages.
  case subscribe(topic: String, count: Int?)
  case help(CommandForm?)
  case version
}

/// A command line, read: what to do, and how to say it.
struct Invocation: Equatable, Sendable {
  var command: Command
  var endpoint: String
  var json = false
  var quiet = false
  /// A data directory to look into without a daemon.
  var data: String?
}
