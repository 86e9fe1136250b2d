#include "Groups.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))

// As with AVX-512 (AVX512.c), 32 elements and four bytes of every plane at a time.

/// Byte `byte` of 32 elements.
AVX2 static inline __m256i gather(const uint8_t *p, size_t element_bytes, size_t byte) {
  const __m256i *in = (const __m256i *)p;
  if (element_bytes == 1) return _mm256_loadu_si256(in);
  const __m256i low_byte = element_bytes == 2 ? _mm256_set1_epi16(0xFF) : _mm256_set1_epi32(0xFF);
  if (element_bytes == 2) {
    __m256i a = _mm256_loadu_si256(in), b = _mm256_loadu_si256(in + 1);
    if (byte == 1) a = _mm256_srli_epi16(a, 8), b = _mm256_srli_epi16(b, 8);
    __m256i packed = _mm256_packus_epi16(_mm256_and_si256(a, low_byte), _mm256_and_si256(b, low_byte));
    return _mm256_permute4x64_epi64(packed, 0xD8);
  }
  __m256i part[4];
  for (int k = 0; k < 4; k++) {
    part[k] = _mm256_srlv_epi32(_mm256_loadu_si256(in + k), _mm256_set1_epi32(8 * (int)byte));
    part[k] = _mm256_and_si256(part[k], low_byte);
  }
  // Packing works in halves: groups of four elements come out as 0 2 4 6, 1 3 5 7.
  __m256i packed = _mm256_packus_epi16(_mm256_packus_epi32(part[0], part[1]), _mm256_packus_epi32(part[2], part[3]));
  return _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

AVX2 static inline __attribute__((always_inline)) size_t shuffle(const uint8_t *elements, size_t plane_bytes,
                                                                 size_t element_bytes, uint8_t *planes) {
  size_t group = 0;
  for (; group + 4 <= plane_bytes; group += 4) {
    for (size_t byte = 0; byte < element_bytes; byte++) {
      __m256i v = gather(elements + group * 8 * element_bytes, element_bytes, byte);
      uint8_t *plane = planes + byte * 8 * plane_bytes + group;
      for (int bit = 7; bit >= 0; bit--) {
        uint32_t bits = (uint32_t)_mm256_movemask_epi8(v);
        memcpy(plane + (size_t)bit * plane_bytes, &bits, 4);
        v = _mm256_add_epi8(v, v);
      }
    }
  }
  return group;
}

/// Byte of 32 elements from its eight planes.
AVX2 static inline __m256i byte_of(const uint8_t *plane, size_t plane_bytes) {
  // Every byte of the vector gets the byte of the plane that has its bit, and is compared at that bit.
  const __m256i spread = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i own = _mm256_set1_epi64x((long long)0x8040201008040201u);
  __m256i v = _mm256_setzero_si256();
  for (int bit = 0; bit < 8; bit++) {
    int bits;
    memcpy(&bits, plane + (size_t)bit * plane_bytes, 4);
    __m256i all = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), spread), own);
    __m256i set = _mm256_cmpeq_epi8(all, own);
    v = _mm256_or_si256(v, _mm256_and_si256(set, _mm256_set1_epi8((char)(1 << bit))));
  }
  return v;
}

AVX2 static inline __attribute__((always_inline)) size_t unshuffle(const uint8_t *planes, size_t plane_bytes,
                                                                   size_t element_bytes, uint8_t *elements) {
  size_t group = 0;
  for (; group + 4 <= plane_bytes; group += 4) {
    __m256i *out = (__m256i *)(elements + group * 8 * element_bytes);
    __m256i v[4];
    for (size_t byte = 0; byte < element_bytes; byte++) {
      v[byte] = byte_of(planes + byte * 8 * plane_bytes + group, plane_bytes);
      // So that interleaving, which works in halves, leaves the elements in order.
      if (element_bytes > 1) v[byte] = _mm256_permute4x64_epi64(v[byte], 0xD8);
    }
    if (element_bytes == 1) {
      _mm256_storeu_si256(out, v[0]);
    } else if (element_bytes == 2) {
      _mm256_storeu_si256(out, _mm256_unpacklo_epi8(v[0], v[1]));
      _mm256_storeu_si256(out + 1, _mm256_unpackhi_epi8(v[0], v[1]));
    } else {
      for (int half = 0; half < 2; half++) {
        __m256i low = half ? _mm256_unpackhi_epi8(v[0], v[1]) : _mm256_unpacklo_epi8(v[0], v[1]);
        __m256i high = half ? _mm256_unpackhi_epi8(v[2], v[3]) : _mm256_unpacklo_epi8(v[2], v[3]);
        __m256i a = _mm256_unpacklo_epi16(low, high), b = _mm256_unpackhi_epi16(low, high);
        _mm256_storeu_si256(out + 2 * half, _mm256_permute2x128_si256(a, b, 0x20));
        _mm256_storeu_si256(out + 2 * half + 1, _mm256_permute2x128_si256(a, b, 0x31));
      }
    }
  }
  return group;
}

AVX2 size_t cbitshuffle_do_avx2(const uint8_t *elements, size_t plane_bytes, size_t element_bytes, uint8_t *planes) {
  switch (element_bytes) {
    case 1: return shuffle(elements, plane_bytes, 1, planes);
    case 2: return shuffle(elements, plane_bytes, 2, planes);
    case 4: return shuffle(elements, plane_bytes, 4, planes);
    default: return 0;
  }
}

AVX2 size_t cbitshuffle_undo_avx2(const uint8_t *planes, size_t plane_bytes, size_t element_bytes, uint8_t *elements) {
  switch (element_bytes) {
    case 1: return unshuffle(planes, plane_bytes, 1, elements);
    case 2: return unshuffle(planes, plane_bytes, 2, elements);
    case 4: return unshuffle(planes, plane_bytes, 4, elements);
    default: return 0;
  }
}
#endif
