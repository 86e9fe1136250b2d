#include "CBitshuffle.h"

#include <stdatomic.h>

#include "Groups.h"

// The transpose of an 8 × 8 matrix of bits by swaps of 1 × 1, 2 × 2 and 4 × 4 squares (Warren, Hacker's Delight, §7-3).
static uint64_t transpose(uint64_t x) {
  uint64_t t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AAull;
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCCull;
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0ull;
  return x ^ t ^ (t << 28);
}

// One byte of every element, from its eight planes; groups of eight elements from `group` on.
static void undo_byte(const uint8_t *planes, size_t plane_bytes, size_t group, uint8_t *out, size_t element_bytes) {
  for (; group < plane_bytes; group++) {
    uint64_t x = 0;
    for (size_t bit = 0; bit < 8; bit++) x |= (uint64_t)planes[bit * plane_bytes + group] << (8 * bit);
    x = transpose(x);
    for (size_t element = 0; element < 8; element++, x >>= 8)
      out[(group * 8 + element) * element_bytes] = (uint8_t)x;
  }
}

static void do_byte(const uint8_t *in, size_t element_bytes, size_t group, uint8_t *planes, size_t plane_bytes) {
  for (; group < plane_bytes; group++) {
    uint64_t x = 0;
    for (size_t element = 0; element < 8; element++)
      x |= (uint64_t)in[(group * 8 + element) * element_bytes] << (8 * element);
    x = transpose(x);
    for (size_t bit = 0; bit < 8; bit++, x >>= 8) planes[bit * plane_bytes + group] = (uint8_t)x;
  }
}

static atomic_int most = CBITSHUFFLE_AVX512;

static enum cbitshuffle_instructions of_processor(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return CBITSHUFFLE_AVX512;
  if (__builtin_cpu_supports("avx2")) return CBITSHUFFLE_AVX2;
#endif
  return CBITSHUFFLE_PORTABLE;
}

enum cbitshuffle_instructions cbitshuffle_instructions(void) {
  enum cbitshuffle_instructions has = of_processor();
  // Relaxed: the choice orders nothing, every form gives the same bytes.
  enum cbitshuffle_instructions wanted =
      (enum cbitshuffle_instructions)atomic_load_explicit(&most, memory_order_relaxed);
  return wanted < has ? wanted : has;
}

void cbitshuffle_use_at_most(enum cbitshuffle_instructions wanted) {
  atomic_store_explicit(&most, (int)wanted, memory_order_relaxed);
}

void cbitshuffle_undo(const void *planes, size_t elements, size_t element_bytes, void *destination) {
  size_t plane_bytes = elements / 8, done = 0;
#if defined(__x86_64__)
  switch (cbitshuffle_instructions()) {
    case CBITSHUFFLE_AVX512: done = cbitshuffle_undo_avx512(planes, plane_bytes, element_bytes, destination); break;
    case CBITSHUFFLE_AVX2: done = cbitshuffle_undo_avx2(planes, plane_bytes, element_bytes, destination); break;
    case CBITSHUFFLE_PORTABLE: break;
  }
#endif
  if (done == plane_bytes) return;
  for (size_t byte = 0; byte < element_bytes; byte++) {
    const uint8_t *own = (const uint8_t *)planes + 8 * byte * plane_bytes;
    undo_byte(own, plane_bytes, done, (uint8_t *)destination + byte, element_bytes);
  }
}

void cbitshuffle_do(const void *source, size_t elements, size_t element_bytes, void *planes) {
  size_t plane_bytes = elements / 8, done = 0;
#if defined(__x86_64__)
  switch (cbitshuffle_instructions()) {
    case CBITSHUFFLE_AVX512: done = cbitshuffle_do_avx512(source, plane_bytes, element_bytes, planes); break;
    case CBITSHUFFLE_AVX2: done = cbitshuffle_do_avx2(source, plane_bytes, element_bytes, planes); break;
    case CBITSHUFFLE_PORTABLE: break;
  }
#endif
  if (done == plane_bytes) return;
  for (size_t byte = 0; byte < element_bytes; byte++) {
    uint8_t *own = (uint8_t *)planes + 8 * byte * plane_bytes;
    do_byte((const uint8_t *)source + byte, element_bytes, done, own, plane_bytes);
  }
}
