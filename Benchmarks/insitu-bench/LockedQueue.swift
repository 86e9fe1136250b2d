import FrameRing
import Glibc

/// The yardstick of the ring: a bounded queue as it is written everywhere, one pthread mutex and two conditions, that hands
/// over the same header and the same pixels in buffers of a pool.
@safe
final class LockedQueue: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let mayWrite: UnsafeMutablePointer<pthread_cond_t>
  private let mayRead: UnsafeMutablePointer<pthread_cond_t>
  private let pool: UnsafeMutableRawPointer
  private let slots: Int
  private let slotBytes: Int
  private var headers: [FrameHeader]
  private var published = 0
  private var released = 0

  init(slots: Int, slotBytes: Int) {
    unsafe mutex = .allocate(capacity: 1)
    unsafe mayWrite = .allocate(capacity: 1)
    unsafe mayRead = .allocate(capacity: 1)
    unsafe pthread_mutex_init(mutex, nil)
    unsafe pthread_cond_init(mayWrite, nil)
    unsafe pthread_cond_init(mayRead, nil)
    unsafe pool = .allocate(byteCount: slots * slotBytes, alignment: 4096)
    unsafe memset(pool, 1, slots * slotBytes)
    self.slots = slots
    self.slotBytes = slotBytes
    headers = Array(repeating: FrameHeader(), count: slots)
  }

  deinit {
    unsafe pthread_cond_destroy(mayRead)
    unsafe pthread_cond_destroy(mayWrite)
    unsafe pthread_mutex_destroy(mutex)
    unsafe pool.deallocate()
    unsafe mayRead.deallocate()
    unsafe mayWrite.deallocate()
    unsafe mutex.deallocate()
  }

  /// Waits for a free buffer.
  func reserve() -> UnsafeMutableRawBufferPointer {
    unsafe pthread_mutex_lock(mutex)
    while published - released == slots { unsafe pthread_cond_wait(mayWrite, mutex) }
    let index = published % slots
    unsafe pthread_mutex_unlock(mutex)
    return unsafe UnsafeMutableRawBufferPointer(start: pool + index * slotBytes, count: slotBytes)
  }

  func publish(_ header: FrameHeader) {
    unsafe pthread_mutex_lock(mutex)
    headers[published % slots] = header
    published += 1
    unsafe pthread_cond_signal(mayRead)
    unsafe pthread_mutex_unlock(mutex)
  }

  /// Waits for the next frame, gives it to `body` in place, and its buffer back.
  func take(_ body: (FrameHeader, UnsafeRawBufferPointer) -> Void) {
    unsafe pthread_mutex_lock(mutex)
    while published == released { unsafe pthread_cond_wait(mayRead, mutex) }
    let index = released % slots
    let header = headers[index]
    unsafe pthread_mutex_unlock(mutex)
    unsafe body(header, UnsafeRawBufferPointer(start: pool + index * slotBytes, count: slotBytes))
    unsafe pthread_mutex_lock(mutex)
    released += 1
    unsafe pthread_cond_signal(mayWrite)
    unsafe pthread_mutex_unlock(mutex)
  }
}
