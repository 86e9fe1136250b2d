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
  // Moved by 32768 and summed in pairs as in a band; what a pair is short of is put in before. A pixel behind the mask counts 0.
  const __m512i flip = _mm512_set1_epi16(-0x8000), one = _mm512_set1_epi16(1);
  const __m512i even = _mm512_set1_epi64(0xFFFFFFFF);
  __m512i total = _mm512_setzero_si512();
  for (size_t x = 0; x < width; x += 32) {
    const __mmask32 columns = width - x < 32 ? ((__mmask32)1 << (width - x)) - 1 : ~(__mmask32)0;
    for (size_t row = 0; row < height;) {
      // So many that their pairs fit 32 bits.
      size_t some = height - row < 16384 ? height - row : 16384;
      __m512i sums = _mm512_set1_epi32((int)some * 0x10000);
      for (size_t end = row + some; row < end; row++) {
        __m512i v = _mm512_maskz_loadu_epi16(columns, p + (row * stride + x) * 2);
        sums = _mm512_add_epi32(sums, _mm512_madd_epi16(_mm512_xor_si512(v, flip), one));
      }
      total = _mm512_add_epi64(total, _mm512_add_epi64(_mm512_and_si512(sums, even), _mm512_srli_epi64(sums, 32)));
    }
  }
  return (uint64_t)_mm512_reduce_add_epi64(total);
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
