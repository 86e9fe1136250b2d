// What Glibc's Swift module hides, and the one checksum that must run at memory speed.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/// O_DIRECT of open(2).
int clinux_o_direct(void);
/// Names the calling thread; at most 15 bytes are kept by the kernel.
void clinux_name_thread(const char *_Nonnull name);
/// The processor that has `index` processors before it among those the process may run on; -1 beyond the last.
int clinux_usable_processor(int index);
/// Keeps the calling thread on one processor; 0 or the error number.
int clinux_pin_thread(int processor);
/// CPU time of the calling process in nanoseconds (user + system).
int64_t clinux_process_cpu_ns(void);
/// A non-blocking, close-on-exec eventfd with the count 0; -1 and errno on failure.
int clinux_eventfd(void);

// The simulated clock in force on the calling thread, or null (Linux/SimulatedClock.swift).
void *_Nullable clinux_thread_clock(void);
void clinux_set_thread_clock(void *_Nullable clock);

/// The pulse of the calling thread; null for a thread without one.
void *_Nullable clinux_thread_pulse(void);
void clinux_set_thread_pulse(void *_Nullable pulse);
/// A signalfd for the given signals, which are blocked in the calling thread and all it starts later.
int clinux_signalfd(const int *_Nonnull signals, int count);
/// The next signal of a signalfd, or 0 when none is pending.
int clinux_next_signal(int fd);
/// clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME); 0 or the error number.
int clinux_sleep_until_monotonic(int64_t ns);
/// Process and user at the other end of a Unix socket; 0 on success.
int clinux_peer(int fd, int *_Nonnull pid, int *_Nonnull uid);
/// accept4(2) with SOCK_CLOEXEC; -1 and errno on failure.
int clinux_accept(int fd);
/// fallocate(2) with FALLOC_FL_KEEP_SIZE; 0 or -1 and errno.
int clinux_reserve(int fd, int64_t offset, int64_t length);
/// Free bytes for an unprivileged writer in the file system of `path`; -1 and errno on failure.
int64_t clinux_free_bytes(const char *_Nonnull path);

/// Tells the processor that the calling thread turns in a loop: it lets go of the pipeline for some ten nanoseconds.
static inline void clinux_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

/// CRC-32C (Castagnoli, reflected, as in iSCSI RFC 3720 and ext4), continued from `crc` (0 to begin).
/// Uses carry-less multiplication of 512-bit vectors or the SSE4.2 instruction where the processor has them.
uint32_t clinux_crc32c(uint32_t crc, const void *_Nullable bytes, size_t count);

/// How it is computed, from what every processor can to what the newest can.
enum clinux_crc_form { CLINUX_CRC_TABLE, CLINUX_CRC_LANES, CLINUX_CRC_FOLDING };
/// The last one that this processor can.
enum clinux_crc_form clinux_crc_form(void);
/// The same checksum in a form that this processor can, for tests.
uint32_t clinux_crc32c_by(enum clinux_crc_form form, uint32_t crc, const void *_Nullable bytes, size_t count);

/// futex(2) FUTEX_WAIT on a word that processes share: sleeps while it holds `expected`, at most `timeout_ns`.
/// 0: woken, changed or interrupted, look again; 1: the time is over; -1: the kernel will not wait on this memory.
int clinux_futex_wait(const uint32_t *_Nonnull word, uint32_t expected, int64_t timeout_ns);
/// futex(2) FUTEX_WAKE: wakes every waiter on the word, in all processes.
void clinux_futex_wake(const uint32_t *_Nonnull word);
/// pwritev(2); the count written, or -1 and errno.
ssize_t clinux_write_parts(int fd, const struct iovec *_Nonnull parts, int count, int64_t offset);
/// Clears O_DIRECT of an open file; 0 or -1 and errno.
int clinux_use_cache(int fd);

// Reads and writes that the kernel carries out beside the caller (io_uring(7)). Used by one thread at a time. Memory and
// descriptor of each must stay until its completion was taken.
typedef struct clinux_io_ring clinux_io_ring;
/// Room for `entries` at a time; null and errno where the kernel has none (older than 5.11), or allows none.
clinux_io_ring *_Nullable clinux_io_ring_open(unsigned entries);
/// Everything must have been taken before.
void clinux_io_ring_close(clinux_io_ring *_Nonnull ring);
/// Begins a write of parts, one behind the other in the file; 0, or the error number and nothing has begun. The list itself
/// is not needed afterwards.
int clinux_io_ring_write(clinux_io_ring *_Nonnull ring, int fd, const struct iovec *_Nonnull parts, int count,
                         int64_t offset, uint64_t tag);
/// Begins a read; 0, or the error number and nothing has begun.
int clinux_io_ring_read(clinux_io_ring *_Nonnull ring, int fd, void *_Nonnull bytes, size_t count, int64_t offset,
                           uint64_t tag);
/// Begins an fdatasync(2); 0, or the error number and nothing has begun.
int clinux_io_ring_synchronize(clinux_io_ring *_Nonnull ring, int fd, uint64_t tag);
/// Takes a completion, in the order they came: 1 with its tag and result (bytes, or minus the error number), or 0 when
/// none came in time.
int clinux_io_ring_next(clinux_io_ring *_Nonnull ring, int64_t timeout_ns, uint64_t *_Nonnull tag,
                           int32_t *_Nonnull result);

/// The calling thread never takes the processor from one that wakes up, and has its fair share beside others: SCHED_BATCH.
void clinux_work_in_background(void);
