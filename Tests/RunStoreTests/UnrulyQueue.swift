import Glibc
import Linux
import Quantities

/// A queue in which nothing ends in order: each transfer is carried out when it is its turn by the seed, some only in part,
/// some interrupted. What has not ended has not been written either.
final class UnrulyQueue: FileQueue, @unchecked Sendable {
  private struct Transfer {
    var tag: UInt64
    var carryOut: (_ most: Int) -> Int
    var bytes: Int
  }

  let limit: Int
  /// The write that fails, counted from 0 as they end, with the disk full after some of its bytes.
  var failing: Int?
  /// Asked without waiting, it ends something about every so many times.
  let laziness: Int
  /// What is synchronized ends only when nothing else is left to end.
  var isSlowToSynchronize = false
  /// Called after a transfer has ended, and before anybody knows.
  var ended: () -> Void = {}
  private(set) var endedWrites = 0
  private(set) var mostUnderWay = 0
  private var transfers: [Transfer] = []
  private var state: UInt64

  init(limit: Int, seed: UInt64, failing: Int? = nil, laziness: Int = 3) {
    self.limit = limit
    self.failing = failing
    self.laziness = laziness
    state = seed
  }

  /// SplitMix64.
  private func random(_ below: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return Int((z ^ (z >> 31)) % UInt64(below))
  }

  private func begin(_ transfer: Transfer) {
    precondition(transfers.count < limit)
    transfers.append(transfer)
    mostUnderWay = max(mostUnderWay, transfers.count { $0.bytes > 0 })
  }

  func write(_ parts: [UnsafeRawBufferPointer], to file: Int32, at offset: Int64, tag: UInt64) {
    begin(
      Transfer(
        tag: tag,
        carryOut: { most in
          var done = 0
          for part in parts.prefix(bytes: most) {
            let n = pwrite(file, part.baseAddress, part.count, Int(offset) + done)
            if n < 0 { return -Int(errno) }
            done += n
          }
          return done
        }, bytes: parts.byteCount))
  }

  func read(into bytes: UnsafeMutableRawBufferPointer, from file: Int32, at offset: Int64, tag: UInt64) {
    begin(
      Transfer(
        tag: tag,
        carryOut: { most in
          let n = pread(file, bytes.baseAddress, min(most, bytes.count), Int(offset))
          return n < 0 ? -Int(errno) : n
        }, bytes: bytes.count))
  }

  func synchronizeData(of file: Int32, tag: UInt64) {
    begin(Transfer(tag: tag, carryOut: { _ in fdatasync(file) < 0 ? -Int(errno) : 0 }, bytes: 0))
  }

  func next(atMost span: Seconds) -> FileCompletion? {
    guard !transfers.isEmpty, span.value > 0 || random(laziness) == 0 else { return nil }
    var place = random(transfers.count)
    if isSlowToSynchronize, transfers[place].bytes == 0 {
      if let other = transfers.firstIndex(where: { $0.bytes > 0 }) {
        place = other
      } else if span.value <= 0 {
        return nil
      }
    }
    let transfer = transfers.remove(at: place)
    var result: Int
    if transfer.bytes == 0 {
      result = transfer.carryOut(0)
    } else if random(8) == 0 {
      result = -Int(EINTR)
    } else {
      let part = random(4) == 0 ? max(4096, random(transfer.bytes) / 4096 * 4096) : transfer.bytes
      result = transfer.carryOut(part)
      if endedWrites == failing { result = -Int(ENOSPC) }
      endedWrites += 1
    }
    ended()
    return FileCompletion(tag: transfer.tag, result: result)
  }
}
