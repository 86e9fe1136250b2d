// A band is measured strip by strip: as many columns as a vector holds, down all its rows. So the sums of a strip's bins
// stay in one register, and every pixel is loaded once. Columns that fill no strip go bin by bin.
#pragma once

#include "Instructions.h"

static inline uint32_t smaller(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

/// Measures the whole strips of a band; gives the number of columns done.
typedef size_t strips(const uint8_t *pixels, size_t width, size_t rows, struct cpixels_totals *totals, float *means);

#if defined(__x86_64__)
strips cpixels_strips_u8_avx2, cpixels_strips_u16_avx2, cpixels_strips_u32_avx2;
strips cpixels_strips_u8_avx512, cpixels_strips_u16_avx512, cpixels_strips_u32_avx512;
#endif
