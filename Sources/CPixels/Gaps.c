#include <string.h>

#include "Instructions.h"

// Bit planes by the gaps between their ones in Rice's code (docs/frame-compression.md has the format).
//
// Electrons that fall independently of each other leave gaps that are distributed geometrically, for which this code is within
// a few percent of the entropy, however few they are: it has no least cost per byte, as codes of bytes have.

enum { RAW = 0x40, INVERTED = 0x80, PARAMETER = 0x3F, LARGEST_PARAMETER = 40 };

static inline uint64_t word_at(const uint8_t *p, size_t bytes) {
  uint64_t word = 0;
  memcpy(&word, p, bytes < 8 ? bytes : 8);
  return word;
}

FORM_BODY uint64_t ones_body(const uint8_t *plane, size_t bytes) {
  uint64_t ones = 0;
  size_t at = 0;
  for (; at + 8 <= bytes; at += 8) ones += (uint64_t)__builtin_popcountll(word_at(plane + at, 8));
  if (at < bytes) ones += (uint64_t)__builtin_popcountll(word_at(plane + at, bytes - at));
  return ones;
}
FORMS(ones, uint64_t, (const uint8_t *plane, size_t bytes), (plane, bytes))

/// The parameter of least expected cost for so many ones among so many bits, or -1 when plain bits are not dearer.
static int parameter(uint64_t ones, uint64_t bits) {
  // Of a gap g, g >> k is k-fold geometric: its unary code has 1 / (1 - zeros^(2^k)) bits on average.
  double zeros = 1 - (double)ones / (double)bits;
  double least = 1 / (1 - zeros);
  int best = 0;
  for (int k = 1; k <= LARGEST_PARAMETER; k++) {
    zeros *= zeros;
    double cost = k + 1 / (1 - zeros);
    if (cost >= least) break;
    least = cost;
    best = k;
  }
  return (double)ones * least < (double)bits ? best : -1;
}

/// Bits are written from the least significant on.
struct writer {
  uint8_t *out, *end;
  uint64_t bits;
  unsigned count; /* of bits, below 8 after a flush */
};

/// Whole bytes out; eight are written, so that there must be room for eight.
static inline int flush(struct writer *w) {
  if (w->end - w->out < 8) return -1;
  memcpy(w->out, &w->bits, 8);
  w->out += w->count >> 3;
  w->bits >>= w->count & ~7u;
  w->count &= 7;
  return 0;
}

static inline int put_gap(struct writer *w, uint64_t gap, int k) {
  uint64_t zeros = gap >> k;
  while (zeros >= 32) {
    w->count += 32;
    zeros -= 32;
    if (flush(w)) return -1;
  }
  w->count += (unsigned)zeros;
  w->bits |= (uint64_t)1 << w->count;
  w->count++;
  if (w->count + (unsigned)k > 64 && flush(w)) return -1;
  w->bits |= (gap & (((uint64_t)1 << k) - 1)) << w->count;
  w->count += (unsigned)k;
  return flush(w);
}

/// The plane's gaps from `out` on; the end of what was written, or null when there is no room for it.
FORM_BODY uint8_t *put_gaps_body(const uint8_t *plane, size_t bytes, uint64_t inversion, int k, uint8_t *out,
                                 uint8_t *end) {
  struct writer w = {.out = out, .end = end, .bits = 0, .count = 0};
  uint64_t next = 0; /* the first bit that no gap has told of */
  for (size_t at = 0; at < bytes; at += 8) {
    uint64_t word = bytes - at >= 8 ? word_at(plane + at, 8) : word_at(plane + at, bytes - at);
    word ^= inversion;
    if (bytes - at < 8) word &= ((uint64_t)1 << (8 * (bytes - at))) - 1;
    for (; word != 0; word &= word - 1) {
      uint64_t place = 8 * at + (uint64_t)__builtin_ctzll(word);
      if (put_gap(&w, place - next, k)) return 0;
      next = place + 1;
    }
  }
  // The last gap ends behind the last bit: so the reader knows where it is.
  if (put_gap(&w, 8 * bytes - next, k)) return 0;
  if (w.count > 0) *w.out++ = (uint8_t)w.bits;
  return w.out;
}
FORMS(put_gaps, uint8_t *,
      (const uint8_t *plane, size_t bytes, uint64_t inversion, int k, uint8_t *out, uint8_t *end),
      (plane, bytes, inversion, k, out, end))

size_t cpixels_put_planes(const void *planes, size_t plane_bytes, size_t plane_count, void *destination, size_t room) {
  size_t map_bytes = (plane_count + 7) / 8;
  uint8_t *map = destination, *out = map + map_bytes, *end = map + room;
  if (room < map_bytes) return 0;
  memset(map, 0, map_bytes);
  for (size_t index = 0; index < plane_count; index++) {
    const uint8_t *plane = (const uint8_t *)planes + index * plane_bytes;
    uint64_t set = ones(plane, plane_bytes), bits = 8 * (uint64_t)plane_bytes;
    if (set == 0) continue;
    map[index / 8] |= (uint8_t)(1 << index % 8);
    int is_inverted = set > bits / 2;
    if (out >= end) return 0;
    uint8_t *code = out++;
    int k = is_inverted && set == bits ? LARGEST_PARAMETER : parameter(is_inverted ? bits - set : set, bits);
    uint8_t *after = 0;
    if (k >= 0) after = put_gaps(plane, plane_bytes, is_inverted ? ~(uint64_t)0 : 0, k, out, end);
    if (after && (size_t)(after - out) < plane_bytes) {
      *code = (uint8_t)(k | (is_inverted ? INVERTED : 0));
      out = after;
      continue;
    }
    if ((size_t)(end - out) < plane_bytes) return 0;
    *code = RAW;
    memcpy(out, plane, plane_bytes);
    out += plane_bytes;
  }
  return (size_t)(out - map);
}

/// Sets the ones of a plane of zeros; the number of bytes read, or -1.
FORM_BODY int64_t get_gaps_body(const uint8_t *in, size_t count, int k, uint8_t *plane, size_t bytes) {
  const uint64_t end = 8 * (uint64_t)count, places = 8 * (uint64_t)bytes;
  uint64_t at = 0, place = 0, zeros = 0;
  for (;;) {
    // At least 57 bits from `at` on; zeros behind the end.
    size_t byte = at >> 3;
    uint64_t word = count - byte >= 8 ? word_at(in + byte, 8) : word_at(in + byte, count - byte);
    word >>= at & 7;
    unsigned run = word == 0 ? 64 : (unsigned)__builtin_ctzll(word);
    if (run > 56) {
      at += 56;
      zeros += 56;
      if (at > end || zeros > places >> k) return -1;
      continue;
    }
    zeros += run;
    at += run + 1;
    if (at + (unsigned)k > end || zeros > places >> k) return -1;
    uint64_t low;
    if (run + 1 + (unsigned)k <= 57) {
      low = word >> run >> 1;
    } else {
      byte = at >> 3;
      low = (count - byte >= 8 ? word_at(in + byte, 8) : word_at(in + byte, count - byte)) >> (at & 7);
    }
    at += (unsigned)k;
    uint64_t gap = zeros << k | (low & (((uint64_t)1 << k) - 1));
    zeros = 0;
    if (gap > places - place) return -1;
    place += gap;
    if (place == places) return (int64_t)((at + 7) >> 3);
    plane[place >> 3] |= (uint8_t)(1 << (place & 7));
    place++;
  }
}
FORMS(get_gaps, int64_t, (const uint8_t *in, size_t count, int k, uint8_t *plane, size_t bytes),
      (in, count, k, plane, bytes))

int cpixels_get_planes(const void *source, size_t count, void *planes, size_t plane_bytes, size_t plane_count) {
  size_t map_bytes = (plane_count + 7) / 8;
  if (count < map_bytes) return -1;
  const uint8_t *map = source, *in = map + map_bytes, *end = map + count;
  for (size_t index = 0; index < plane_count; index++) {
    uint8_t *plane = (uint8_t *)planes + index * plane_bytes;
    if (!(map[index / 8] & 1 << index % 8)) {
      memset(plane, 0, plane_bytes);
      continue;
    }
    if (in == end) return -1;
    uint8_t code = *in++;
    if (code == RAW) {
      if ((size_t)(end - in) < plane_bytes) return -1;
      memcpy(plane, in, plane_bytes);
      in += plane_bytes;
      continue;
    }
    int k = code & PARAMETER;
    if (code & RAW || k > LARGEST_PARAMETER) return -1;
    memset(plane, 0, plane_bytes);
    int64_t taken = get_gaps(in, (size_t)(end - in), k, plane, plane_bytes);
    if (taken < 0) return -1;
    in += taken;
    if (code & INVERTED) {
      for (size_t byte = 0; byte < plane_bytes; byte++) plane[byte] = (uint8_t)~plane[byte];
    }
  }
  return in == end ? 0 : -1;
}
