#include "CLinux.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Not FUTEX_PRIVATE_FLAG: the waiters are other processes. FUTEX_WAIT only reads the word, so that a read-only
// mapping will do (futex(2)).
int clinux_futex_wait(const uint32_t *word, uint32_t expected, int64_t timeout_ns) {
  if (timeout_ns < 0) timeout_ns = 0;
  struct timespec span = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
  if (syscall(SYS_futex, word, FUTEX_WAIT, expected, &span, NULL, 0) == 0) return 0;
  if (errno == EAGAIN || errno == EINTR) return 0;
  return errno == ETIMEDOUT ? 1 : -1;
}

void clinux_futex_wake(const uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); }
