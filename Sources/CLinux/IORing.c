#include "CLinux.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// The rings as io_uring(7) has them: the caller moves the submission tail and the completion head, the kernel the others.
struct clinux_io_ring {
  int fd;
  void *rings;
  size_t rings_bytes;
  struct io_uring_sqe *entries;
  size_t entries_bytes;
  unsigned *submission_tail, *submission_slots;
  unsigned submission_mask;
  unsigned *completion_head, *completion_tail;
  unsigned completion_mask;
  struct io_uring_cqe *completions;
};

void clinux_io_ring_close(clinux_io_ring *ring) {
  if (ring->entries) munmap(ring->entries, ring->entries_bytes);
  if (ring->rings) munmap(ring->rings, ring->rings_bytes);
  if (ring->fd >= 0) close(ring->fd);
  free(ring);
}

static void *map(int fd, size_t bytes, off_t what) {
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, what);
  return at == MAP_FAILED ? NULL : at;
}

clinux_io_ring *clinux_io_ring_open(unsigned entries) {
  clinux_io_ring *ring = calloc(1, sizeof *ring);
  if (!ring) return NULL;
  struct io_uring_params p;
  memset(&p, 0, sizeof p);
  ring->fd = (int)syscall(SYS_io_uring_setup, entries, &p);
  if (ring->fd < 0) goto failed;
  // Linux 5.11 has them all: one mapping for both rings, no completion lost, a wait with a time.
  const unsigned needed =
      IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG;
  if ((p.features & needed) != needed) {
    errno = ENOSYS;
    goto failed;
  }
  size_t submissions = p.sq_off.array + p.sq_entries * sizeof(unsigned);
  size_t completions = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
  ring->rings_bytes = submissions > completions ? submissions : completions;
  ring->rings = map(ring->fd, ring->rings_bytes, IORING_OFF_SQ_RING);
  if (!ring->rings) goto failed;
  ring->entries_bytes = p.sq_entries * sizeof(struct io_uring_sqe);
  ring->entries = map(ring->fd, ring->entries_bytes, IORING_OFF_SQES);
  if (!ring->entries) goto failed;
  char *base = ring->rings;
  ring->submission_tail = (unsigned *)(base + p.sq_off.tail);
  ring->submission_slots = (unsigned *)(base + p.sq_off.array);
  ring->submission_mask = *(unsigned *)(base + p.sq_off.ring_mask);
  ring->completion_head = (unsigned *)(base + p.cq_off.head);
  ring->completion_tail = (unsigned *)(base + p.cq_off.tail);
  ring->completion_mask = *(unsigned *)(base + p.cq_off.ring_mask);
  ring->completions = (struct io_uring_cqe *)(base + p.cq_off.cqes);
  return ring;
failed : {
  int number = errno;
  clinux_io_ring_close(ring);
  errno = number;
  return NULL;
}
}

// Only this side writes the submission tail. The kernel takes the entry within the call or not at all: then the tail goes
// back, and the entry was never there.
static int submit(clinux_io_ring *ring, const struct io_uring_sqe *entry) {
  unsigned tail = *ring->submission_tail, slot = tail & ring->submission_mask;
  ring->entries[slot] = *entry;
  ring->submission_slots[slot] = slot;
  // Releasing: the kernel reads the entry when it sees the tail.
  __atomic_store_n(ring->submission_tail, tail + 1, __ATOMIC_RELEASE);
  for (;;) {
    long taken = syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0);
    if (taken == 1) return 0;
    int number = taken < 0 ? errno : EAGAIN;
    if (number == EINTR) continue;
    __atomic_store_n(ring->submission_tail, tail, __ATOMIC_RELEASE);
    return number;
  }
}

int clinux_io_ring_write(clinux_io_ring *ring, int fd, const struct iovec *parts, int count, int64_t offset,
                         uint64_t tag) {
  struct io_uring_sqe entry = {.opcode = IORING_OP_WRITEV, .fd = fd, .off = (uint64_t)offset,
                               .addr = (uint64_t)(uintptr_t)parts, .len = (uint32_t)count, .user_data = tag};
  if (count == 1) {
    entry.opcode = IORING_OP_WRITE;
    entry.addr = (uint64_t)(uintptr_t)parts->iov_base;
    entry.len = parts->iov_len > 0x7ffff000 ? 0x7ffff000 : (uint32_t)parts->iov_len;  // as write(2) takes at most
  }
  // The kernel has read the list when it has taken the entry (IORING_FEAT_SUBMIT_STABLE).
  return submit(ring, &entry);
}

int clinux_io_ring_read(clinux_io_ring *ring, int fd, void *bytes, size_t count, int64_t offset, uint64_t tag) {
  struct io_uring_sqe entry = {.opcode = IORING_OP_READ, .fd = fd, .off = (uint64_t)offset,
                               .addr = (uint64_t)(uintptr_t)bytes, .user_data = tag};
  entry.len = count > 0x7ffff000 ? 0x7ffff000 : (uint32_t)count;
  return submit(ring, &entry);
}

int clinux_io_ring_synchronize(clinux_io_ring *ring, int fd, uint64_t tag) {
  struct io_uring_sqe entry = {.opcode = IORING_OP_FSYNC, .fd = fd, .user_data = tag};
  entry.fsync_flags = IORING_FSYNC_DATASYNC;
  return submit(ring, &entry);
}

int clinux_io_ring_next(clinux_io_ring *ring, int64_t timeout_ns, uint64_t *tag, int32_t *result) {
  // Acquiring: with the tail come the completions before it. Only this side writes the head.
  unsigned head = *ring->completion_head;
  if (head == __atomic_load_n(ring->completion_tail, __ATOMIC_ACQUIRE)) {
    if (timeout_ns <= 0) return 0;
    struct __kernel_timespec span = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    struct io_uring_getevents_arg argument = {.ts = (uint64_t)(uintptr_t)&span};
    // Woken, timed out or interrupted: the tail says which.
    syscall(SYS_io_uring_enter, ring->fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument,
            sizeof argument);
    if (head == __atomic_load_n(ring->completion_tail, __ATOMIC_ACQUIRE)) return 0;
  }
  const struct io_uring_cqe *completion = &ring->completions[head & ring->completion_mask];
  *tag = completion->user_data;
  *result = completion->res;
  // Releasing: the kernel may write this place again when it sees the head.
  __atomic_store_n(ring->completion_head, head + 1, __ATOMIC_RELEASE);
  return 1;
}
