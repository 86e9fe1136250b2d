// The bit shuffle of DECTRIS and HDF5 bitshuffle blocks; undone at the speed of 16 planes at a time.
#pragma once

#include <stddef.h>

/// Turns a block of bit planes back into elements.
///
/// `planes`: 8·element_bytes planes of elements/8 bytes; plane byte·8 + bit, least significant first; bit i of a plane
/// belongs to element i. `elements` is a multiple of 8. `destination` holds elements·element_bytes bytes, little-endian
/// elements, and does not overlap `planes`.
void cbitshuffle_undo(const void *_Nonnull planes, size_t elements, size_t element_bytes, void *_Nonnull destination);

/// The inverse, element group by element group: what emulated senders need.
void cbitshuffle_do(const void *_Nonnull source, size_t elements, size_t element_bytes, void *_Nonnull planes);
