// The vector forms: groups of eight elements, as many at a time as a vector has bytes to give them.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// Shuffles or unshuffles groups from the first on; gives the number of groups done, which may be 0 for elements of a size
/// that it does not know.
typedef size_t shuffle_groups(const uint8_t *elements, size_t plane_bytes, size_t element_bytes, uint8_t *planes);
typedef size_t unshuffle_groups(const uint8_t *planes, size_t plane_bytes, size_t element_bytes, uint8_t *elements);

#if defined(__x86_64__)
shuffle_groups cbitshuffle_do_avx2, cbitshuffle_do_avx512;
unshuffle_groups cbitshuffle_undo_avx2, cbitshuffle_undo_avx512;
#endif
