#include "CBitshuffle.h"

#include <stdint.h>

// The transpose of an 8 × 8 matrix of bits by swaps of 1 × 1, 2 × 2 and 4 × 4 squares (Warren, Hacker's Delight, §7-3).
static uint64_t transpose(uint64_t x) {
  uint64_t t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AAull;
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCCull;
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0ull;
  return x ^ t ^ (t << 28);
}

// Eight elements' bytes from the same byte of eight planes.
static uint64_t eight_elements(const uint8_t *plane, size_t plane_bytes) {
  uint64_t x = 0;
  for (int bit = 0; bit < 8; bit++) x |= (uint64_t)plane[bit * plane_bytes] << (8 * bit);
  return transpose(x);
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

// The transpose of eight_elements, for the sixteen byte columns of eight rows at once.
static void transpose_bits(__m128i *r) {
  const __m128i masks[3] = {_mm_set1_epi8(0x55), _mm_set1_epi8(0x33), _mm_set1_epi8(0x0F)};
  for (int stage = 2; stage >= 0; stage--) {
    int step = 1 << stage;
    for (int k = 0; k < 8; k++) {
      if (k & step) continue;
      // Bits shifted in from the next byte are masked away.
      __m128i t = _mm_and_si128(_mm_xor_si128(_mm_srli_epi64(r[k], step), r[k + step]), masks[stage]);
      r[k + step] = _mm_xor_si128(r[k + step], t);
      r[k] = _mm_xor_si128(r[k], _mm_slli_epi64(t, step));
    }
  }
}

// Two bytes of every element, from sixteen planes, sixteen groups of eight elements at a time. Once the bits of the
// low and of the high planes are transposed, row i has that byte of the i-th element of each group; the transpose of
// the 16 × 16 bytes then puts the elements of a group side by side.
// Gives the number of groups done: those that do not fill sixteen are left over.
static size_t undo_pair(const uint8_t *planes, size_t plane_bytes, uint8_t *out, size_t element_bytes) {
  size_t group = 0;
  for (; group + 16 <= plane_bytes; group += 16) {
    __m128i a[16], b[16];
    for (int k = 0; k < 16; k++) b[k] = _mm_loadu_si128((const __m128i *)(planes + k * plane_bytes + group));
    transpose_bits(b);
    transpose_bits(b + 8);
    for (int k = 0; k < 8; k++) {
      a[2 * k] = b[k];
      a[2 * k + 1] = b[k + 8];
    }
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
      if (element_bytes == 2) {
        _mm_storeu_si128((__m128i *)first, a[k]);
        continue;
      }
      uint16_t values[8];
      memcpy(values, &a[k], 16);
      for (int element = 0; element < 8; element++) memcpy(first + element * element_bytes, &values[element], 2);
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

void cbitshuffle_do(const void *source, size_t elements, size_t element_bytes, void *planes) {
  size_t plane_bytes = elements / 8;
  const uint8_t *in = source;
  uint8_t *out = planes;
  for (size_t byte = 0; byte < element_bytes; byte++) {
    for (size_t group = 0; group < plane_bytes; group++) {
      uint64_t x = 0;
      for (size_t element = 0; element < 8; element++)
        x |= (uint64_t)in[(group * 8 + element) * element_bytes + byte] << (8 * element);
      x = transpose(x);
      for (size_t bit = 0; bit < 8; bit++, x >>= 8) out[(byte * 8 + bit) * plane_bytes + group] = (uint8_t)x;
    }
  }
}
