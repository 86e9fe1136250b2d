#include "Band.h"

#if defined(__x86_64__)

AVX512 FORM_BODY size_t strips_u8(const uint8_t *p, size_t width, size_t rows, struct cpixels_totals *totals,
                                  float *means) {
  __m512i low = _mm512_set1_epi8(-1), high = _mm512_setzero_si512(), total = high;
  const __m256 pixels = _mm256_set1_ps((float)(CPIXELS_BIN * rows));
  size_t x = 0;
  for (; x + 64 <= width; x += 64) {
    __m512i sums = _mm512_setzero_si512();
    for (size_t row = 0; row < rows; row++) {
      __m512i v = _mm512_loadu_si512(p + row * width + x);
      low = _mm512_min_epu8(low, v);
      high = _mm512_max_epu8(high, v);
      // Sums of eight bytes: a bin each.
      sums = _mm512_add_epi64(sums, _mm512_sad_epu8(v, _mm512_setzero_si512()));
    }
    total = _mm512_add_epi64(total, sums);
    _mm256_storeu_ps(means + x / CPIXELS_BIN, _mm256_div_ps(_mm512_cvtepu64_ps(sums), pixels));
  }
  uint8_t lows[64], highs[64];
  _mm512_storeu_si512(lows, low);
  _mm512_storeu_si512(highs, high);
  for (int k = 0; k < 64 && x > 0; k++) {
    totals->minimum = smaller(totals->minimum, lows[k]);
    totals->maximum = larger(totals->maximum, highs[k]);
  }
  totals->sum += (uint64_t)_mm512_reduce_add_epi64(total);
  return x;
}

AVX512 FORM_BODY size_t strips_u16(const uint8_t *p, size_t width, size_t rows, struct cpixels_totals *totals,
                                   float *means) {
  // Values are moved by 32768 into the range of the signed multiply-and-add that sums pairs: a bin of n pixels is
  // n · 32768 short until it is moved back.
  const __m512i flip = _mm512_set1_epi16(-0x8000), one = _mm512_set1_epi16(1);
  const __m512i back = _mm512_maskz_set1_epi32(0x1111, (int)(CPIXELS_BIN * rows) * 0x8000);
  const __m128 pixels = _mm_set1_ps((float)(CPIXELS_BIN * rows));
  __m512i low = _mm512_set1_epi16(-1), high = _mm512_setzero_si512(), total = high;
  size_t x = 0;
  for (; x + 32 <= width; x += 32) {
    __m512i sums = back;
    for (size_t row = 0; row < rows; row++) {
      __m512i v = _mm512_loadu_si512(p + (row * width + x) * 2);
      low = _mm512_min_epu16(low, v);
      high = _mm512_max_epu16(high, v);
      sums = _mm512_add_epi32(sums, _mm512_madd_epi16(_mm512_xor_si512(v, flip), one));
    }
    // The four pair sums of a bin are in one 128-bit lane.
    sums = _mm512_add_epi32(sums, _mm512_shuffle_epi32(sums, _MM_PERM_CDAB));
    sums = _mm512_add_epi32(sums, _mm512_shuffle_epi32(sums, _MM_PERM_BADC));
    total = _mm512_add_epi64(total, _mm512_maskz_mov_epi32(0x1111, sums));
    __m128i bins = _mm512_castsi512_si128(_mm512_maskz_compress_epi32(0x1111, sums));
    _mm_storeu_ps(means + x / CPIXELS_BIN, _mm_div_ps(_mm_cvtepi32_ps(bins), pixels));
  }
  uint16_t lows[32], highs[32];
  _mm512_storeu_si512(lows, low);
  _mm512_storeu_si512(highs, high);
  for (int k = 0; k < 32 && x > 0; k++) {
    totals->minimum = smaller(totals->minimum, lows[k]);
    totals->maximum = larger(totals->maximum, highs[k]);
  }
  totals->sum += (uint64_t)_mm512_reduce_add_epi64(total);
  return x;
}

AVX512 FORM_BODY size_t strips_u32(const uint8_t *p, size_t width, size_t rows, struct cpixels_totals *totals,
                                   float *means) {
  const float pixels = (float)(CPIXELS_BIN * rows);
  const __m512i even = _mm512_set1_epi64(0xFFFFFFFF);
  __m512i low = _mm512_set1_epi32(-1), high = _mm512_setzero_si512();
  uint64_t total = 0;
  size_t x = 0;
  for (; x + 16 <= width; x += 16) {
    __m512i sums = _mm512_setzero_si512();
    for (size_t row = 0; row < rows; row++) {
      __m512i v = _mm512_loadu_si512(p + (row * width + x) * 4);
      low = _mm512_min_epu32(low, v);
      high = _mm512_max_epu32(high, v);
      sums = _mm512_add_epi64(sums, _mm512_add_epi64(_mm512_and_si512(v, even), _mm512_srli_epi64(v, 32)));
    }
    // The first bin is in the lower half.
    uint64_t first = (uint64_t)_mm512_mask_reduce_add_epi64(0x0F, sums);
    uint64_t second = (uint64_t)_mm512_mask_reduce_add_epi64(0xF0, sums);
    total += first + second;
    means[x / CPIXELS_BIN] = (float)first / pixels;
    means[x / CPIXELS_BIN + 1] = (float)second / pixels;
  }
  if (x > 0) {
    totals->minimum = smaller(totals->minimum, _mm512_reduce_min_epu32(low));
    totals->maximum = larger(totals->maximum, _mm512_reduce_max_epu32(high));
  }
  totals->sum += total;
  return x;
}

// With the usual number of rows as a constant the inner loop is unrolled.
#define WITH_ROWS(name)                                                                                               \
  AVX512 size_t cpixels_##name##_avx512(const uint8_t *p, size_t width, size_t rows, struct cpixels_totals *totals,   \
                                        float *means) {                                                               \
    return rows == CPIXELS_BIN ? name(p, width, CPIXELS_BIN, totals, means) : name(p, width, rows, totals, means);     \
  }
WITH_ROWS(strips_u8)
WITH_ROWS(strips_u16)
WITH_ROWS(strips_u32)

#endif
