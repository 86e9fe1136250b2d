// The bit shuffle of DECTRIS and HDF5 bitshuffle blocks, in both directions. A portable form, one for AVX2 and one for AVX-512,
// chosen at run time; all give the same bytes.
#pragma once

#include <stddef.h>

/// Turns a block of bit planes back into elements.
///
/// `planes`: 8·element_bytes planes of elements/8 bytes; plane byte·8 + bit, least significant first; bit i of a plane
/// belongs to element i. `elements` is a multiple of 8. `destination` holds elements·element_bytes bytes, little-endian
/// elements, and does not overlap `planes`.
void cbitshuffle_undo(const void *_Nonnull planes, size_t elements, size_t element_bytes, void *_Nonnull destination);

/// The inverse: elements into bit planes.
void cbitshuffle_do(const void *_Nonnull source, size_t elements, size_t element_bytes, void *_Nonnull planes);

enum cbitshuffle_instructions { CBITSHUFFLE_PORTABLE, CBITSHUFFLE_AVX2, CBITSHUFFLE_AVX512 };

/// The instructions in use: the best that the processor has, or fewer after cbitshuffle_use_at_most.
enum cbitshuffle_instructions cbitshuffle_instructions(void);
/// Holds both directions to a choice of instructions, for tests and comparisons. Never beyond the processor's.
void cbitshuffle_use_at_most(enum cbitshuffle_instructions most);
