#include "CBitshuffle.h"

#include <stdint.h>

// Eight elements' bytes from the same byte of eight planes: the transpose of an 8 × 8 matrix of bits by swaps of
// 1 × 1, 2 × 2 and 4 × 4 squares (Warren, Hacker's Delight, §7-3).
static uint64_t eight_elements(const uint8_t *plane, size_t plane_bytes) {
  uint64_t x = 0;
  for (int bit = 0; bit < 8; bit++) x |= (uint64_t)plane[bit * plane_bytes] << (8 * bit);
  uint64_t t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AAull;
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCCull;
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0ull;
  return x ^ t ^ (t << 28);
}

// One byte of every element, from its eight planes; groups of eight elements from `group` on.
static void undo_byte(const uint8_t *planes, size_t plane_bytes, size_t group, uint8_t *out, size_t element_bytes) {
  for (; group < plane_bytes; group++) {
    uint64_t octets = eight_elements(planes + group, plane_bytes);
    for (size_t element = 0; element < 8; element++, octets >>= 8)
      out[(group * 8 + element) * element_bytes] = (uint8_t)octets;
  }
}

#if defined(__SSE2__)
#include <emmintrin.h>
#include <string.h>

// Two bytes of every element, from sixteen planes. Sixteen groups are loaded from each plane and the 16 × 16 bytes
// transposed, so that a vector holds one byte of each plane; its sign bits are then one element of the group.
// Gives the number of groups done: those that do not fill sixteen are left over.
static size_t undo_pair(const uint8_t *planes, size_t plane_bytes, uint8_t *out, size_t element_bytes) {
  size_t group = 0;
  for (; group + 16 <= plane_bytes; group += 16) {
    __m128i a[16], b[16];
    for (int k = 0; k < 16; k++) a[k] = _mm_loadu_si128((const __m128i *)(planes + k * plane_bytes + group));
    // Four perfect shuffles of the rows transpose the matrix.
    for (int round = 0; round < 4; round++) {
      for (int k = 0; k < 8; k++) {
        b[2 * k] = _mm_unpacklo_epi8(a[k], a[k + 8]);
        b[2 * k + 1] = _mm_unpackhi_epi8(a[k], a[k + 8]);
      }
      memcpy(a, b, sizeof a);
    }
    for (int k = 0; k < 16; k++) {
      uint8_t *first = out + (group + k) * 8 * element_bytes;
      __m128i v = a[k];
      for (int element = 7; element >= 0; element--) {
        uint16_t value = (uint16_t)_mm_movemask_epi8(v);
        memcpy(first + element * element_bytes, &value, 2);
        v = _mm_add_epi8(v, v);
      }
    }
  }
  return group;
}
#else
static size_t undo_pair(const uint8_t *planes, size_t plane_bytes, uint8_t *out, size_t element_bytes) {
  (void)planes, (void)plane_bytes, (void)out, (void)element_bytes;
  return 0;
}
#endif

void cbitshuffle_undo(const void *planes, size_t elements, size_t element_bytes, void *destination) {
  size_t plane_bytes = elements / 8;
  const uint8_t *in = planes;
  uint8_t *out = destination;
  size_t byte = 0;
  for (; byte + 2 <= element_bytes; byte += 2) {
    const uint8_t *low = in + 8 * byte * plane_bytes;
    size_t done = undo_pair(low, plane_bytes, out + byte, element_bytes);
    undo_byte(low, plane_bytes, done, out + byte, element_bytes);
    undo_byte(low + 8 * plane_bytes, plane_bytes, done, out + byte + 1, element_bytes);
  }
  if (byte < element_bytes) undo_byte(in + 8 * byte * plane_bytes, plane_bytes, 0, out + byte, element_bytes);
}
