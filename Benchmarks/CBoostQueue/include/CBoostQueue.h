// Boost.Lockfree's queue for one producer and one consumer, as a yardstick of the benchmarks. Without Boost
// (libboost-dev) it builds as well, and says so.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Numbers that the queue holds.
enum { CBOOST_QUEUE_CAPACITY = 1024 };

/// 1 when it was built with Boost.
int cboost_queue_is_there(void);

/// Hands numbers from 0 on from one thread to another, each pinned to its processor.
/// `seconds` gets the time of each of `chunks` times `chunk` numbers, by the clock of the consumer.
/// 0; -1 without Boost, -2 when a thread cannot be pinned, -3 when a number came out wrong.
int cboost_queue_run(uint64_t chunks, uint64_t chunk, int producer_cpu, int consumer_cpu, double *seconds);

#ifdef __cplusplus
}
#endif
