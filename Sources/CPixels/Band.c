#include "Band.h"

#include <string.h>

static inline uint32_t pixel(const uint8_t *p, unsigned pixel_bytes) {
  uint16_t two;
  uint32_t four;
  switch (pixel_bytes) {
    case 1: return *p;
    case 2: memcpy(&two, p, 2); return two;
    default: memcpy(&four, p, 4); return four;
  }
}

/// The columns from `x` on, bin by bin.
FORM_BODY void bins(const uint8_t *p, unsigned pixel_bytes, size_t width, size_t rows, size_t x,
                    struct cpixels_totals *totals, float *means) {
  uint32_t low = totals->minimum, high = totals->maximum;
  for (; x < width; x += CPIXELS_BIN) {
    size_t columns = width - x < CPIXELS_BIN ? width - x : CPIXELS_BIN;
    uint64_t sum = 0;
    for (size_t row = 0; row < rows; row++) {
      for (size_t column = 0; column < columns; column++) {
        uint32_t value = pixel(p + (row * width + x + column) * pixel_bytes, pixel_bytes);
        sum += value;
        low = smaller(low, value);
        high = larger(high, value);
      }
    }
    totals->sum += sum;
    means[x / CPIXELS_BIN] = (float)sum / (float)(columns * rows);
  }
  totals->minimum = low;
  totals->maximum = high;
}

FORM_BODY uint64_t count_body(const uint8_t *p, unsigned pixel_bytes, size_t count, uint32_t level) {
  uint64_t found = 0;
  while (count > 0) {
    // So few that the count fits the width of a pixel, and lanes of that width do.
    size_t some = pixel_bytes == 1 ? 128 : pixel_bytes == 2 ? 4096 : 65536;
    if (some > count) some = count;
    uint8_t narrow = 0;
    uint16_t middle = 0;
    uint32_t wide = 0;
    for (size_t k = 0; k < some; k++) {
      switch (pixel_bytes) {
        case 1: narrow += p[k] >= (uint8_t)level; break;
        case 2: middle += (uint16_t)pixel(p + 2 * k, 2) >= (uint16_t)level; break;
        default: wide += pixel(p + 4 * k, 4) >= level;
      }
    }
    found += narrow + middle + wide;
    p += some * pixel_bytes;
    count -= some;
  }
  return found;
}
#define COUNT(n)                                                                                    \
  FORM_BODY uint64_t count_##n##_body(const uint8_t *p, size_t count, uint32_t level) {             \
    return count_body(p, n, count, level);                                                          \
  }                                                                                                 \
  FORMS(count_##n, uint64_t, (const uint8_t *p, size_t count, uint32_t level), (p, count, level))
COUNT(1)
COUNT(2)
COUNT(4)

void cpixels_measure_band(const void *pixels, unsigned pixel_bytes, size_t width, size_t row_count, uint64_t level,
                          struct cpixels_totals *totals, float *means) {
  const uint8_t *p = pixels;
  struct cpixels_totals band = {.sum = 0, .saturated = 0, .minimum = UINT32_MAX, .maximum = 0};
  size_t done = 0;
#if defined(__x86_64__)
  enum cpixels_instructions instructions = cpixels_instructions();
  if (instructions == CPIXELS_AVX512) {
    strips *f = pixel_bytes == 1   ? cpixels_strips_u8_avx512
                : pixel_bytes == 2 ? cpixels_strips_u16_avx512
                                   : cpixels_strips_u32_avx512;
    done = f(p, width, row_count, &band, means);
  } else if (instructions == CPIXELS_AVX2) {
    strips *f = pixel_bytes == 1   ? cpixels_strips_u8_avx2
                : pixel_bytes == 2 ? cpixels_strips_u16_avx2
                                   : cpixels_strips_u32_avx2;
    done = f(p, width, row_count, &band, means);
  }
#endif
  switch (pixel_bytes) {
    case 1: bins(p, 1, width, row_count, done, &band, means); break;
    case 2: bins(p, 2, width, row_count, done, &band, means); break;
    default: bins(p, 4, width, row_count, done, &band, means);
  }
  // Few bands have a saturated pixel; those are looked through once more while they are in the cache.
  if (band.maximum >= level) {
    size_t count = width * row_count;
    switch (pixel_bytes) {
      case 1: band.saturated = count_1(p, count, (uint32_t)level); break;
      case 2: band.saturated = count_2(p, count, (uint32_t)level); break;
      default: band.saturated = count_4(p, count, (uint32_t)level);
    }
  }
  totals->sum += band.sum;
  totals->saturated += band.saturated;
  totals->minimum = smaller(totals->minimum, band.minimum);
  totals->maximum = larger(totals->maximum, band.maximum);
}
