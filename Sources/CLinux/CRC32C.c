#include "CLinux.h"

#include <pthread.h>
#include <string.h>

// CRC-32C, polynomial 0x1EDC6F41, reflected 0x82F63B78.

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? (c >> 1) ^ 0x82F63B78u : c >> 1;
    table[i] = c;
  }
}

static uint32_t crc_by_table(uint32_t c, const uint8_t *p, size_t n) {
  pthread_once(&table_once, make_table);
  while (n--) c = table[(c ^ *p++) & 0xFF] ^ (c >> 8);
  return c;
}

#if defined(__x86_64__)
#include <immintrin.h>

// The instruction takes three cycles and can begin in every one of them: three lanes, each over a third of a block, run
// as fast as one. A checksum is a linear map of its start and its bytes, so that the lanes are joined by moving the
// first two on over the zeros that would stand in the place of what follows them:
// crc(start, ABC) = over2(crc(start, A)) ^ over(crc(0, B)) ^ crc(0, C), all without the inversions at both ends.

enum { LONG_LANE = 4096, SHORT_LANE = 256 };

/// What `lane` zero bytes make of a checksum, by each of its four bytes.
struct over_zeros {
  uint32_t byte[4][256];
};

static struct over_zeros over_long, over_short;
static pthread_once_t over_once = PTHREAD_ONCE_INIT;

static void make_over(struct over_zeros *over, size_t lane) {
  static const uint8_t zeros[LONG_LANE];
  for (int k = 0; k < 4; k++) {
    uint32_t bit[8];
    for (int b = 0; b < 8; b++) bit[b] = crc_by_table(1u << (8 * k + b), zeros, lane);
    for (int value = 0; value < 256; value++) {
      uint32_t c = 0;
      for (int b = 0; b < 8; b++) {
        if (value & 1 << b) c ^= bit[b];
      }
      over->byte[k][value] = c;
    }
  }
}

static void make_overs(void) {
  make_over(&over_long, LONG_LANE);
  make_over(&over_short, SHORT_LANE);
}

static uint32_t move_over(const struct over_zeros *over, uint32_t c) {
  return over->byte[0][c & 0xFF] ^ over->byte[1][c >> 8 & 0xFF] ^ over->byte[2][c >> 16 & 0xFF] ^ over->byte[3][c >> 24];
}

static inline uint64_t word(const uint8_t *p) {
  uint64_t w;
  memcpy(&w, p, 8);
  return w;
}

__attribute__((target("sse4.2"))) static uint32_t crc_of_three_lanes(uint32_t start, const uint8_t *p, size_t lane,
                                                                     const struct over_zeros *over) {
  uint64_t a = start, b = 0, c = 0;
  for (size_t i = 0; i < lane; i += 8) {
    a = _mm_crc32_u64(a, word(p + i));
    b = _mm_crc32_u64(b, word(p + lane + i));
    c = _mm_crc32_u64(c, word(p + 2 * lane + i));
  }
  return move_over(over, move_over(over, (uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t crc_by_instruction(uint32_t c, const uint8_t *p, size_t n) {
  pthread_once(&over_once, make_overs);
  while (n && ((uintptr_t)p & 7)) {
    c = _mm_crc32_u8(c, *p++);
    n--;
  }
  for (; n >= 3 * LONG_LANE; p += 3 * LONG_LANE, n -= 3 * LONG_LANE) c = crc_of_three_lanes(c, p, LONG_LANE, &over_long);
  for (; n >= 3 * SHORT_LANE; p += 3 * SHORT_LANE, n -= 3 * SHORT_LANE) {
    c = crc_of_three_lanes(c, p, SHORT_LANE, &over_short);
  }
  uint64_t wide = c;
  for (; n >= 8; p += 8, n -= 8) wide = _mm_crc32_u64(wide, word(p));
  c = (uint32_t)wide;
  while (n--) c = _mm_crc32_u8(c, *p++);
  return c;
}

// Long runs are folded: 256 bytes are a polynomial whose remainder is the checksum so far, and every 64-bit part of it can
// be replaced by its product with x^d mod P, d bits further on (V. Gopal et al., Fast CRC Computation for Generic
// Polynomials Using PCLMULQDQ Instruction, 2009). A product of two reflected 64-bit parts is one bit short of its place: d
// is less by the 32 bits that a remainder stands beyond its message, and by one, which is made up for by a shift.

enum { FOLDED = 256, LEAST_FOLDED = 512 };

/// x^(d+32) and x^(d-32) mod P, reflected, for the lower and the upper half of 128 bits.
struct fold {
  uint64_t low, high;
};

static struct fold fold_256, fold_128, fold_64;
static pthread_once_t fold_once = PTHREAD_ONCE_INIT;

static uint64_t power_of_x(unsigned exponent) {
  uint32_t c = 0x80000000u;  // x^0
  while (exponent--) c = c & 1 ? (c >> 1) ^ 0x82F63B78u : c >> 1;
  return (uint64_t)c << 1;
}

static struct fold fold_over(unsigned bytes) {
  return (struct fold){.low = power_of_x(8 * bytes + 32), .high = power_of_x(8 * bytes - 32)};
}

static void make_folds(void) {
  fold_256 = fold_over(256);
  fold_128 = fold_over(128);
  fold_64 = fold_over(64);
}

#define FOLDING __attribute__((target("sse4.2,avx512f,vpclmulqdq")))

FOLDING static inline __attribute__((always_inline)) __m512i folded(__m512i state, struct fold by, __m512i next) {
  __m512i powers = _mm512_broadcast_i32x4(_mm_set_epi64x((long long)by.high, (long long)by.low));
  __m512i low = _mm512_clmulepi64_epi128(state, powers, 0x00);
  __m512i high = _mm512_clmulepi64_epi128(state, powers, 0x11);
  return _mm512_ternarylogic_epi64(low, high, next, 0x96);  // their exclusive or
}

/// - n: at least FOLDED.
FOLDING static uint32_t crc_by_folding(uint32_t c, const uint8_t *p, size_t n) {
  pthread_once(&fold_once, make_folds);
  const struct fold by_256 = fold_256, by_128 = fold_128, by_64 = fold_64;
  // The checksum so far stands in the place of the first four bytes.
  __m512i a = _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)c)));
  __m512i b = _mm512_loadu_si512(p + 64), d = _mm512_loadu_si512(p + 128), e = _mm512_loadu_si512(p + 192);
  for (p += FOLDED, n -= FOLDED; n >= FOLDED; p += FOLDED, n -= FOLDED) {
    a = folded(a, by_256, _mm512_loadu_si512(p));
    b = folded(b, by_256, _mm512_loadu_si512(p + 64));
    d = folded(d, by_256, _mm512_loadu_si512(p + 128));
    e = folded(e, by_256, _mm512_loadu_si512(p + 192));
  }
  __m512i last = folded(folded(a, by_128, d), by_64, folded(b, by_128, e));
  uint8_t left[64];
  _mm512_storeu_si512(left, last);
  return crc_by_instruction(crc_by_instruction(0, left, sizeof left), p, n);
}
#endif

enum clinux_crc_form clinux_crc_form(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512f")) return CLINUX_CRC_FOLDING;
  if (__builtin_cpu_supports("sse4.2")) return CLINUX_CRC_LANES;
#endif
  return CLINUX_CRC_TABLE;
}

uint32_t clinux_crc32c_by(enum clinux_crc_form form, uint32_t crc, const void *bytes, size_t count) {
  if (count == 0) return crc;
#if defined(__x86_64__)
  if (form == CLINUX_CRC_FOLDING && count >= LEAST_FOLDED) return ~crc_by_folding(~crc, bytes, count);
  if (form != CLINUX_CRC_TABLE) return ~crc_by_instruction(~crc, bytes, count);
#endif
  return ~crc_by_table(~crc, bytes, count);
}

uint32_t clinux_crc32c(uint32_t crc, const void *bytes, size_t count) {
  return clinux_crc32c_by(clinux_crc_form(), crc, bytes, count);
}
