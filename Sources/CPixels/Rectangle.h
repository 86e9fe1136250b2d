// Sums of rectangles.
#pragma once

#include "Instructions.h"

#if defined(__x86_64__)
typedef uint64_t rectangle_sum(const uint8_t *first, size_t stride, size_t width, size_t height);
rectangle_sum cpixels_sum_u8_avx512, cpixels_sum_u16_avx512, cpixels_sum_u32_avx512;
#endif
