import Glibc
import Quantities
import USB

/// `usb-probe`: the USB client of the daemon, driven by words on standard input, so that tests can run it with an
/// environment of its own.
///
/// Each command is answered by one line, `ok …` or `error …`. Lines that begin with `event` come in between.
///
///     list                            devices there are
///     watch                           event arrived|left VID:PID SERIAL
///     open NAME KIND MATCH            KIND: usbtmc, cdc, ftdi0 …; MATCH: 05E6:2450 or 05E6:2450:SERIAL
///     query NAME SECONDS TEXT         the answer
///     block NAME SECONDS TEXT         count and CRC-32C of the answer
///     time NAME COUNT TEXT            microseconds for one query, in the mean
///     send NAME TEXT
///     status NAME                     status byte, by READ_STATUS_BYTE
///     clear NAME                      device clear
///     receive NAME ENDPOINT MOST SECONDS
///     listen NAME ENDPOINT TRANSFERS MOST    event heard NAME COUNT | event heard NAME error …
///     halt NAME ENDPOINT              ends a halt
///     idle SECONDS                    processor time used meanwhile, in milliseconds
///     close NAME
@main
struct Main {
  static func main() {
    let probe = Probe()
    while let line = readLine() {
      do throws(ProbeError) { say("ok", try probe.run(line)) } catch { say("error", error.text) }
    }
    probe.closeAll()
  }
}

struct ProbeError: Error {
  var text: String
  init(_ text: String) { self.text = text }
  init(_ error: InstrumentError) { text = error.description }
  init(_ error: USBError) { text = error.description }
}

/// One whole line, from any thread.
func say(_ kind: String, _ text: String) {
  // Lines are told apart by their ends: an answer must not bring its own.
  let bytes = Array(kind.utf8) + [32] + text.utf8.map { $0 < 32 ? 32 : $0 } + [10]
  unsafe _ = bytes.withUnsafeBytes { unsafe write(STDOUT_FILENO, $0.baseAddress, $0.count) }
}
