// What is computed of pixels with vector instructions. Each function has a portable form, one for AVX2 and one for AVX-512,
// chosen at run time; all give the same numbers.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum cpixels_instructions { CPIXELS_PORTABLE, CPIXELS_AVX2, CPIXELS_AVX512 };

/// The instructions in use: the best that the processor has, or fewer after cpixels_use_at_most.
enum cpixels_instructions cpixels_instructions(void);
/// Holds the functions below to a choice of instructions, for tests and comparisons. Never beyond the processor's.
void cpixels_use_at_most(enum cpixels_instructions most);

/// Rows of a band, and the side of the squares whose means are taken.
enum { CPIXELS_BIN = 8 };

struct cpixels_totals {
  uint64_t sum;
  uint64_t saturated; /* pixels at or above the level */
  uint32_t minimum;
  uint32_t maximum;
};

/// Adds a band of whole rows to the totals, and writes the means of its bins of CPIXELS_BIN columns.
///
/// `pixels`: row_count · width little-endian pixels of 1, 2 or 4 bytes, at any address. `row_count`: at most CPIXELS_BIN.
/// `level`: UINT64_MAX for none. `means`: ceil(width / CPIXELS_BIN) values; the last bin may have fewer columns.
void cpixels_measure_band(const void *_Nonnull pixels, unsigned pixel_bytes, size_t width, size_t row_count, uint64_t level,
                          struct cpixels_totals *_Nonnull totals, float *_Nonnull means);

/// The sum of a rectangle of pixels; `stride` is the distance of two rows in pixels.
uint64_t cpixels_sum(const void *_Nonnull first, unsigned pixel_bytes, size_t stride, size_t width, size_t height);

/// Moves each reference by `weight` of its difference to the mean; gives the sum of the squares of the differences.
double cpixels_follow(float *_Nonnull reference, const float *_Nonnull means, size_t count, float weight);

/// Copies words of 2 or 4 bytes in the other byte order. `to` may be `from`; else they do not overlap.
void cpixels_copy_swapped(void *_Nonnull to, const void *_Nonnull from, size_t words, unsigned word_bytes);

/// Writes bit planes by the gaps between their ones (docs/frame-compression.md).
///
/// `planes`: plane_count planes of plane_bytes bytes. `destination` does not overlap them.
/// Gives the number of bytes written, or 0 when they do not fit `room`.
size_t cpixels_put_planes(const void *_Nonnull planes, size_t plane_bytes, size_t plane_count, void *_Nonnull destination,
                          size_t room);
/// The inverse, whatever the source holds: 0, or -1 when its bytes are not just what these planes need.
int cpixels_get_planes(const void *_Nonnull source, size_t count, void *_Nonnull planes, size_t plane_bytes,
                       size_t plane_count);
