#include "Rectangle.h"

#if defined(__x86_64__)

// Strip by strip like a band, the last one behind a mask; one reduction at the end of all.

AVX512 uint64_t cpixels_sum_u8_avx512(const uint8_t *p, size_t stride, size_t width, size_t height) {
  __m512i total = _mm512_setzero_si512();
  for (size_t x = 0; x < width; x += 64) {
    const __mmask64 columns = width - x < 64 ? ((__mmask64)1 << (width - x)) - 1 : ~(__mmask64)0;
    for (size_t row = 0; row < height; row++) {
      __m512i v = _mm512_maskz_loadu_epi8(columns, p + row * stride + x);
      total = _mm512_add_epi64(total, _mm512_sad_epu8(v, _mm512_setzero_si512()));
    }
  }
  return (uint64_t)_mm512_reduce_add_epi64(total);
}

AVX512 uint64_t cpixels_sum_u16_avx512(const uint8_t *p, size_t stride, size_t width, size_t height) {
  // Sums of bytes by their place: the low byte of each pixel, and the high one.
  const __m512i low_bytes = _mm512_set1_epi16(0xFF);
  __m512i low = _mm512_setzero_si512(), high = low;
  for (size_t x = 0; x < width; x += 32) {
    const __mmask32 columns = width - x < 32 ? ((__mmask32)1 << (width - x)) - 1 : ~(__mmask32)0;
    for (size_t row = 0; row < height; row++) {
      __m512i v = _mm512_maskz_loadu_epi16(columns, p + (row * stride + x) * 2);
      low = _mm512_add_epi64(low, _mm512_sad_epu8(_mm512_and_si512(v, low_bytes), _mm512_setzero_si512()));
      high = _mm512_add_epi64(high, _mm512_sad_epu8(_mm512_srli_epi16(v, 8), _mm512_setzero_si512()));
    }
  }
  return (uint64_t)_mm512_reduce_add_epi64(low) + ((uint64_t)_mm512_reduce_add_epi64(high) << 8);
}

AVX512 uint64_t cpixels_sum_u32_avx512(const uint8_t *p, size_t stride, size_t width, size_t height) {
  const __m512i even = _mm512_set1_epi64(0xFFFFFFFF);
  __m512i total = _mm512_setzero_si512();
  for (size_t x = 0; x < width; x += 16) {
    const __mmask16 columns = width - x < 16 ? (__mmask16)((1u << (width - x)) - 1) : (__mmask16)~0;
    for (size_t row = 0; row < height; row++) {
      __m512i v = _mm512_maskz_loadu_epi32(columns, p + (row * stride + x) * 4);
      total = _mm512_add_epi64(total, _mm512_add_epi64(_mm512_and_si512(v, even), _mm512_srli_epi64(v, 32)));
    }
  }
  return (uint64_t)_mm512_reduce_add_epi64(total);
}

#endif
