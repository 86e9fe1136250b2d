// Counts what one thread does while it is told to: memory that it takes, locks, system calls, lines. The functions of the C
// library and of libzmq are defined here, before theirs, and passed on to them.
#pragma once

#include <stdint.h>

struct intake_counts {
  uint64_t allocations;
  uint64_t frees;
  uint64_t locks;
  uint64_t receives; /* recv, read, poll, and waiting: the receive itself */
  uint64_t requests; /* bytes sent to a socket */
  uint64_t foreign;  /* every other system call that is made through the C library */
  uint64_t lines;    /* told to the log, or written to standard output or error */
};

/// False under a sanitizer, which has these functions for itself.
int intake_can_count(void);
/// From here on the calling thread is counted.
void intake_begin(void);
/// Ends the counting, and keeps what was counted.
void intake_end(void);
/// Something was told that becomes a line of the log.
void intake_line(void);
/// In between: what follows is not the receiver's. Nests.
void intake_pause(void);
void intake_resume(void);
/// Outside of libzmq, and within its calls.
void intake_result(struct intake_counts *_Nonnull outside, struct intake_counts *_Nonnull within);
/// Where the first things outside were done, to standard error.
void intake_print_places(void);
