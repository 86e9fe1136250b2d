#include "CBoostQueue.h"

#if __has_include(<boost/lockfree/spsc_queue.hpp>)

#include <boost/lockfree/spsc_queue.hpp>

#include "CLinux.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <pthread.h>
#include <sched.h>
#include <thread>

namespace {

using Queue = boost::lockfree::spsc_queue<uint64_t, boost::lockfree::capacity<CBOOST_QUEUE_CAPACITY>>;

// On lines of its own, as the other side of the comparison is.
struct alignas(128) Aligned {
  Queue queue;
};

bool pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

// Both sides of the comparison wait like this: turning, and leaving the processor to others where nothing comes for long.
// Each look takes the line of the other thread from it: 64 pauses between two of them.
inline void wait(uint32_t &tries) {
  for (int k = 0; k < 64; ++k) clinux_pause();
  if (++tries % 65536 == 0) sched_yield();
}

}  // namespace

int cboost_queue_is_there(void) { return 1; }

int cboost_queue_run(uint64_t chunks, uint64_t chunk, int producer_cpu, int consumer_cpu, double *seconds) {
  const auto aligned = std::make_unique<Aligned>();
  Queue &queue = aligned->queue;
  std::atomic<int> ready{0};
  std::atomic<bool> pinned{true};
  const auto arrive = [&](int cpu) {
    if (!pin(cpu)) pinned.store(false);
    ready.fetch_add(1);
    while (ready.load() < 2) sched_yield();
  };
  std::thread producer([&] {
    arrive(producer_cpu);
    uint32_t tries = 0;
    for (uint64_t number = 0; number < chunks * chunk; ++number) {
      while (!queue.push(number)) wait(tries);
    }
  });
  bool right = true;
  std::thread consumer([&] {
    arrive(consumer_cpu);
    uint32_t tries = 0;
    uint64_t expected = 0;
    auto before = std::chrono::steady_clock::now();
    for (uint64_t index = 0; index < chunks; ++index) {
      for (const uint64_t end = expected + chunk; expected < end; ++expected) {
        uint64_t number;
        while (!queue.pop(number)) wait(tries);
        right &= number == expected;
      }
      const auto now = std::chrono::steady_clock::now();
      seconds[index] = std::chrono::duration<double>(now - before).count();
      before = now;
    }
  });
  producer.join();
  consumer.join();
  return !pinned.load() ? -2 : right ? 0 : -3;
}

#else

int cboost_queue_is_there(void) { return 0; }
int cboost_queue_run(uint64_t, uint64_t, int, int, double *) { return -1; }

#endif
