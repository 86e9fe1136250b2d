#include "CPixels.h"

#include <stdatomic.h>

static atomic_int most = CPIXELS_AVX512;

static enum cpixels_instructions of_processor(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return CPIXELS_AVX512;
  if (__builtin_cpu_supports("avx2")) return CPIXELS_AVX2;
#endif
  return CPIXELS_PORTABLE;
}

enum cpixels_instructions cpixels_instructions(void) {
  enum cpixels_instructions has = of_processor();
  // Relaxed: the choice orders nothing, every form gives the same numbers.
  enum cpixels_instructions wanted = (enum cpixels_instructions)atomic_load_explicit(&most, memory_order_relaxed);
  return wanted < has ? wanted : has;
}

void cpixels_use_at_most(enum cpixels_instructions wanted) {
  atomic_store_explicit(&most, (int)wanted, memory_order_relaxed);
}
