import Glibc
package import Linux

extension LinuxError {
  /// The disk or the quota is full.
  package var isFull: Bool { number == ENOSPC || number == EDQUOT }
}
