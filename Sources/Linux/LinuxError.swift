import CLinux
import Glibc

/// A system call that failed: which, on what, and why.
package struct LinuxError: Error, Equatable, CustomStringConvertible {
  package var call: String
  package var subject: String
  package var number: Int32

  package init(_ call: String, _ subject: String = "", number: Int32 = errno) {
    self.call = call
    self.subject = subject
    self.number = number
  }

  package var isTimeout: Bool { number == ETIMEDOUT }
  /// The C library's words for the error number.
  package var reason: String { unsafe String(cString: strerror(number)) }
  package var description: String { subject.isEmpty ? "\(call): \(reason)" : "\(call) \(subject): \(reason)" }
}
