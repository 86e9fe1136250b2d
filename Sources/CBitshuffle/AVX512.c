#include "Groups.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))

// 64 elements are eight bytes of every plane. Once each vector has the same byte of 64 elements, a plane's eight bytes are
// the top bits of a vector, and the vector shifted left by one has the next plane's.

/// Byte `byte` of 64 elements.
AVX512 static inline __m512i gather(const uint8_t *p, size_t element_bytes, size_t byte) {
  if (element_bytes == 1) return _mm512_loadu_si512(p);
  if (element_bytes == 2) {
    __m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64);
    if (byte == 1) a = _mm512_srli_epi16(a, 8), b = _mm512_srli_epi16(b, 8);
    __m512i low = _mm512_castsi256_si512(_mm512_cvtepi16_epi8(a));
    return _mm512_inserti64x4(low, _mm512_cvtepi16_epi8(b), 1);
  }
  __m128i part[4];
  for (int k = 0; k < 4; k++) {
    __m512i v = _mm512_loadu_si512(p + 64 * k);
    part[k] = _mm512_cvtepi32_epi8(_mm512_srlv_epi32(v, _mm512_set1_epi32(8 * (int)byte)));
  }
  __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(part[0]), part[1], 1);
  __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(part[2]), part[3], 1);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

AVX512 static inline __attribute__((always_inline)) size_t shuffle(const uint8_t *elements, size_t plane_bytes,
                                                                   size_t element_bytes, uint8_t *planes) {
  size_t group = 0;
  for (; group + 8 <= plane_bytes; group += 8) {
    for (size_t byte = 0; byte < element_bytes; byte++) {
      __m512i v = gather(elements + group * 8 * element_bytes, element_bytes, byte);
      uint8_t *plane = planes + byte * 8 * plane_bytes + group;
      for (int bit = 7; bit >= 0; bit--) {
        uint64_t bits = _mm512_movepi8_mask(v);
        memcpy(plane + (size_t)bit * plane_bytes, &bits, 8);
        v = _mm512_add_epi8(v, v);
      }
    }
  }
  return group;
}

/// Byte of 64 elements from its eight planes.
AVX512 static inline __m512i byte_of(const uint8_t *plane, size_t plane_bytes) {
  __m512i v = _mm512_setzero_si512();
  for (int bit = 0; bit < 8; bit++) {
    uint64_t bits;
    memcpy(&bits, plane + (size_t)bit * plane_bytes, 8);
    v = _mm512_mask_add_epi8(v, bits, v, _mm512_set1_epi8((char)(1 << bit)));
  }
  return v;
}

AVX512 static inline __attribute__((always_inline)) size_t unshuffle(const uint8_t *planes, size_t plane_bytes,
                                                                     size_t element_bytes, uint8_t *elements) {
  size_t group = 0;
  for (; group + 8 <= plane_bytes; group += 8) {
    uint8_t *out = elements + group * 8 * element_bytes;
    __m512i v[4];
    for (size_t byte = 0; byte < element_bytes; byte++) {
      v[byte] = byte_of(planes + byte * 8 * plane_bytes + group, plane_bytes);
    }
    if (element_bytes == 1) {
      _mm512_storeu_si512(out, v[0]);
    } else if (element_bytes == 2) {
      for (int half = 0; half < 2; half++) {
        __m256i low = half ? _mm512_extracti64x4_epi64(v[0], 1) : _mm512_castsi512_si256(v[0]);
        __m256i high = half ? _mm512_extracti64x4_epi64(v[1], 1) : _mm512_castsi512_si256(v[1]);
        __m512i words = _mm512_or_si512(_mm512_cvtepu8_epi16(low), _mm512_slli_epi16(_mm512_cvtepu8_epi16(high), 8));
        _mm512_storeu_si512(out + 64 * half, words);
      }
    } else {
      uint8_t bytes[4][64];
      for (int byte = 0; byte < 4; byte++) _mm512_storeu_si512(bytes[byte], v[byte]);
      for (int quarter = 0; quarter < 4; quarter++) {
        __m512i words = _mm512_setzero_si512();
        for (int byte = 3; byte >= 0; byte--) {
          __m128i sixteen = _mm_loadu_si128((const __m128i *)(bytes[byte] + 16 * quarter));
          words = _mm512_or_si512(_mm512_slli_epi32(words, 8), _mm512_cvtepu8_epi32(sixteen));
        }
        _mm512_storeu_si512(out + 64 * quarter, words);
      }
    }
  }
  return group;
}

AVX512 size_t cbitshuffle_do_avx512(const uint8_t *elements, size_t plane_bytes, size_t element_bytes, uint8_t *planes) {
  switch (element_bytes) {
    case 1: return shuffle(elements, plane_bytes, 1, planes);
    case 2: return shuffle(elements, plane_bytes, 2, planes);
    case 4: return shuffle(elements, plane_bytes, 4, planes);
    default: return 0;
  }
}

AVX512 size_t cbitshuffle_undo_avx512(const uint8_t *planes, size_t plane_bytes, size_t element_bytes,
                                      uint8_t *elements) {
  switch (element_bytes) {
    case 1: return unshuffle(planes, plane_bytes, 1, elements);
    case 2: return unshuffle(planes, plane_bytes, 2, elements);
    case 4: return unshuffle(planes, plane_bytes, 4, elements);
    default: return 0;
  }
}
#endif
