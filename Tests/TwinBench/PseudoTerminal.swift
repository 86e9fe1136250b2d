package import EmulatedUSB
import Glibc
import Linux
import Quantities

/// A serial instrument behind a pseudo-terminal: what programs that know serial ports can open.
package final class PseudoTerminal: @unchecked Sendable {
  /// The path to open.
  package let path: String
  private let master: Int32
  /// Held open, so that the line does not hang up between two programs.
  private let holder: Int32
  private let ending = Monitor(false)
  private var thread: NamedThread?
  private let instrument: any ByteStreamInstrument

  /// TIOCSPTLCK and TIOCGPTN (`asm-generic/ioctls.h`).
  private static let setLock: UInt = 0x4004_5431
  private static let getNumber: UInt = 0x8004_5430

  package init(_ instrument: any ByteStreamInstrument) throws {
    self.instrument = instrument
    master = unsafe open("/dev/ptmx", O_RDWR | O_NOCTTY)
    // Glibc's Swift module has no posix_openpt and its kin; these are the requests behind them.
    var (isLocked, number): (Int32, UInt32) = (0, 0)
    guard master >= 0, unsafe ioctl(master, Self.setLock, &isLocked) == 0,
      unsafe ioctl(master, Self.getNumber, &number) == 0
    else { throw LinuxError("opening /dev/ptmx") }
    path = "/dev/pts/\(number)"
    holder = unsafe open(path, O_RDWR | O_NOCTTY)
    guard holder >= 0 else { throw LinuxError("opening \(path)") }
    var settings = termios()
    unsafe tcgetattr(holder, &settings)
    unsafe cfmakeraw(&settings)
    unsafe tcsetattr(holder, TCSANOW, &settings)
    _ = fcntl(master, F_SETFL, O_NONBLOCK)
    thread = NamedThread("pty") { [self] in carry() }
  }

  private func carry() {
    var buffer = [UInt8](repeating: 0, count: 4096)
    while !ending.read({ $0 }) {
      let got = unsafe read(master, &buffer, buffer.count)
      if got > 0 { instrument.receive(Array(buffer[..<got]), at: .now) }
      instrument.tick(.now)
      let bytes = instrument.transmit(1024, at: .now)
      var written = 0
      while written < bytes.count, !ending.read({ $0 }) {
        let count = unsafe bytes[written...].withUnsafeBytes { unsafe write(master, $0.baseAddress, $0.count) }
        if count > 0 { written += count } else { sleepThread(for: Seconds(0.001)) }
      }
      if got <= 0 && bytes.isEmpty { sleepThread(for: Seconds(0.001)) }
    }
  }

  /// Nobody but the caller touches the instrument afterwards.
  package func end() {
    guard let thread else { return }
    self.thread = nil
    ending.update { $0 = true }
    thread.join()
    close(holder)
    close(master)
  }
}
