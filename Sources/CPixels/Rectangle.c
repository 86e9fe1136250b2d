#include "Rectangle.h"

#include <string.h>

// Sums of so many pixels fit 32 bits, whatever the pixels are.
enum { RUN = 1 << 16 };

#define SUM(n, T, P)                                                                                              \
  FORM_BODY uint64_t sum_##n##_body(const uint8_t *p, size_t stride, size_t width, size_t height) {               \
    uint64_t sum = 0;                                                                                             \
    for (size_t row = 0; row < height; row++) {                                                                   \
      const uint8_t *run = p + row * stride * n;                                                                  \
      for (size_t left = width; left > 0;) {                                                                      \
        size_t some = left < RUN ? left : RUN;                                                                    \
        P part = 0;                                                                                               \
        for (size_t k = 0; k < some; k++) {                                                                       \
          T value;                                                                                                \
          memcpy(&value, run + k * n, n);                                                                         \
          part += value;                                                                                          \
        }                                                                                                         \
        sum += part;                                                                                              \
        run += some * n;                                                                                          \
        left -= some;                                                                                             \
      }                                                                                                           \
    }                                                                                                             \
    return sum;                                                                                                   \
  }                                                                                                               \
  FORMS(sum_##n, uint64_t, (const uint8_t *p, size_t stride, size_t width, size_t height), (p, stride, width, height))
SUM(1, uint8_t, uint32_t)
SUM(2, uint16_t, uint32_t)
SUM(4, uint32_t, uint64_t)

uint64_t cpixels_sum(const void *first, unsigned pixel_bytes, size_t stride, size_t width, size_t height) {
#if defined(__x86_64__)
  if (cpixels_instructions() == CPIXELS_AVX512) {
    rectangle_sum *sum = pixel_bytes == 1   ? cpixels_sum_u8_avx512
                         : pixel_bytes == 2 ? cpixels_sum_u16_avx512
                                            : cpixels_sum_u32_avx512;
    return sum(first, stride, width, height);
  }
#endif
  switch (pixel_bytes) {
    case 1: return sum_1(first, stride, width, height);
    case 2: return sum_2(first, stride, width, height);
    default: return sum_4(first, stride, width, height);
  }
}

FORM_BODY double follow_body(float *reference, const float *means, size_t count, float weight) {
  double squares[8] = {0};
  size_t at = 0;
  for (; at + 8 <= count; at += 8) {
    for (int k = 0; k < 8; k++) {
      float difference = means[at + k] - reference[at + k];
      squares[k] += (double)difference * (double)difference;
      reference[at + k] += weight * difference;
    }
  }
  for (; at < count; at++) {
    float difference = means[at] - reference[at];
    squares[0] += (double)difference * (double)difference;
    reference[at] += weight * difference;
  }
  double sum = 0;
  for (int k = 0; k < 8; k++) sum += squares[k];
  return sum;
}
FORMS(follow, double, (float *restrict reference, const float *restrict means, size_t count, float weight),
      (reference, means, count, weight))

double cpixels_follow(float *reference, const float *means, size_t count, float weight) {
  return follow(reference, means, count, weight);
}

#define SWAP(n, T, swap)                                                                     \
  FORM_BODY void swap_##n##_body(uint8_t *to, const uint8_t *from, size_t words) {           \
    for (size_t k = 0; k < words; k++) {                                                     \
      T word;                                                                                \
      memcpy(&word, from + k * n, n);                                                        \
      word = swap(word);                                                                     \
      memcpy(to + k * n, &word, n);                                                          \
    }                                                                                        \
  }                                                                                          \
  FORMS(swap_##n, void, (uint8_t *to, const uint8_t *from, size_t words), (to, from, words))
SWAP(2, uint16_t, __builtin_bswap16)
SWAP(4, uint32_t, __builtin_bswap32)

void cpixels_copy_swapped(void *to, const void *from, size_t words, unsigned word_bytes) {
  if (word_bytes == 2)
    swap_2(to, from, words);
  else
    swap_4(to, from, words);
}
