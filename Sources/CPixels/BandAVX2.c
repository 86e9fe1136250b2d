#include "Band.h"

#if defined(__x86_64__)

AVX2 FORM_BODY size_t strips_u8(const uint8_t *p, size_t width, size_t rows, struct cpixels_totals *totals,
                                float *means) {
  __m256i low = _mm256_set1_epi8(-1), high = _mm256_setzero_si256();
  const __m128 pixels = _mm_set1_ps((float)(CPIXELS_BIN * rows));
  uint64_t total = 0;
  size_t x = 0;
  for (; x + 32 <= width; x += 32) {
    __m256i sums = _mm256_setzero_si256();
    for (size_t row = 0; row < rows; row++) {
      __m256i v = _mm256_loadu_si256((const __m256i *)(p + row * width + x));
      low = _mm256_min_epu8(low, v);
      high = _mm256_max_epu8(high, v);
      // Sums of eight bytes: a bin each.
      sums = _mm256_add_epi64(sums, _mm256_sad_epu8(v, _mm256_setzero_si256()));
    }
    // At most 64 · 255: the lower half of each sum is all of it.
    __m128i bins = _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(_mm256_castsi256_si128(sums)),
                                                   _mm_castsi128_ps(_mm256_extracti128_si256(sums, 1)), 0x88));
    _mm_storeu_ps(means + x / CPIXELS_BIN, _mm_div_ps(_mm_cvtepi32_ps(bins), pixels));
    uint32_t each[4];
    _mm_storeu_si128((__m128i *)each, bins);
    total += (uint64_t)each[0] + each[1] + each[2] + each[3];
  }
  uint8_t lows[32], highs[32];
  _mm256_storeu_si256((__m256i *)lows, low);
  _mm256_storeu_si256((__m256i *)highs, high);
  for (int k = 0; k < 32 && x > 0; k++) {
    totals->minimum = smaller(totals->minimum, lows[k]);
    totals->maximum = larger(totals->maximum, highs[k]);
  }
  totals->sum += total;
  return x;
}

AVX2 FORM_BODY size_t strips_u16(const uint8_t *p, size_t width, size_t rows, struct cpixels_totals *totals,
                                 float *means) {
  // As with AVX-512: values moved by 32768, so that pairs can be summed signed.
  const __m256i flip = _mm256_set1_epi16(-0x8000), one = _mm256_set1_epi16(1);
  const __m256i back = _mm256_set1_epi32((int)rows * 2 * 0x8000);
  const float pixels = (float)(CPIXELS_BIN * rows);
  __m256i low = _mm256_set1_epi16(-1), high = _mm256_setzero_si256();
  uint64_t total = 0;
  size_t x = 0;
  for (; x + 16 <= width; x += 16) {
    __m256i sums = back;
    for (size_t row = 0; row < rows; row++) {
      __m256i v = _mm256_loadu_si256((const __m256i *)(p + (row * width + x) * 2));
      low = _mm256_min_epu16(low, v);
      high = _mm256_max_epu16(high, v);
      sums = _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_xor_si256(v, flip), one));
    }
    // The four pair sums of a bin are in one half.
    sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0xB1));
    sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4E));
    uint32_t first = (uint32_t)_mm256_extract_epi32(sums, 0), second = (uint32_t)_mm256_extract_epi32(sums, 4);
    total += (uint64_t)first + second;
    means[x / CPIXELS_BIN] = (float)first / pixels;
    means[x / CPIXELS_BIN + 1] = (float)second / pixels;
  }
  uint16_t lows[16], highs[16];
  _mm256_storeu_si256((__m256i *)lows, low);
  _mm256_storeu_si256((__m256i *)highs, high);
  for (int k = 0; k < 16 && x > 0; k++) {
    totals->minimum = smaller(totals->minimum, lows[k]);
    totals->maximum = larger(totals->maximum, highs[k]);
  }
  totals->sum += total;
  return x;
}

AVX2 FORM_BODY size_t strips_u32(const uint8_t *p, size_t width, size_t rows, struct cpixels_totals *totals,
                                 float *means) {
  const float pixels = (float)(CPIXELS_BIN * rows);
  const __m256i even = _mm256_set1_epi64x(0xFFFFFFFF);
  __m256i low = _mm256_set1_epi32(-1), high = _mm256_setzero_si256();
  size_t x = 0;
  for (; x + 8 <= width; x += 8) {
    __m256i sums = _mm256_setzero_si256();
    for (size_t row = 0; row < rows; row++) {
      __m256i v = _mm256_loadu_si256((const __m256i *)(p + (row * width + x) * 4));
      low = _mm256_min_epu32(low, v);
      high = _mm256_max_epu32(high, v);
      sums = _mm256_add_epi64(sums, _mm256_add_epi64(_mm256_and_si256(v, even), _mm256_srli_epi64(v, 32)));
    }
    __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    uint64_t sum = (uint64_t)_mm_cvtsi128_si64(half) + (uint64_t)_mm_extract_epi64(half, 1);
    totals->sum += sum;
    means[x / CPIXELS_BIN] = (float)sum / pixels;
  }
  uint32_t lows[8], highs[8];
  _mm256_storeu_si256((__m256i *)lows, low);
  _mm256_storeu_si256((__m256i *)highs, high);
  for (int k = 0; k < 8 && x > 0; k++) {
    totals->minimum = smaller(totals->minimum, lows[k]);
    totals->maximum = larger(totals->maximum, highs[k]);
  }
  return x;
}

#define WITH_ROWS(name)                                                                                             \
  AVX2 size_t cpixels_##name##_avx2(const uint8_t *p, size_t width, size_t rows, struct cpixels_totals *totals,     \
                                    float *means) {                                                                 \
    return rows == CPIXELS_BIN ? name(p, width, CPIXELS_BIN, totals, means) : name(p, width, rows, totals, means);   \
  }
WITH_ROWS(strips_u8)
WITH_ROWS(strips_u16)
WITH_ROWS(strips_u32)

#endif
