// The frame ring in shared memory: one writer, one gating reader, any number of readers that only look.
//
// This header is the layout. C, Swift and Python readers use the same file. All integers are little-endian.
//
//   offset 0                    struct frame_ring_header            (4096 bytes)
//   offset 4096 + i·slot_stride  struct frame_ring_slot              (4096 bytes)
//                                pixels                              (slot_bytes, page aligned)
//
// The writer fills slot (sequence % slot_count), then stores `published = sequence + 1` with release order.
// The gating reader stores `consumed` (release): the writer never overwrites a slot with sequence >= consumed.
// Soon after each store of `published` (insitud: within half a millisecond while frames come) futex waiters on its low
// 32 bits, the word at offset 64, are woken (FUTEX_WAKE, shared). A writer may wake them itself. FUTEX_WAIT works on a
// read-only mapping.
// The file may lie on huge pages; then its usual path is a symbolic link, to be read (readlink) and not followed: the kernel
// follows no links of other users in /dev/shm.
// A reader that only looks loads `slot.sequence` (acquire), copies, and loads it again: unchanged and equal to
// the sequence it wanted means that what it copied is whole. While a slot is being rewritten its sequence
// is FRAME_RING_BEING_WRITTEN; so it is in a slot that never held a frame.
#pragma once

#include <assert.h>
#include <stdint.h>

#define FRAME_RING_MAGIC 0x31474E4952534E49ull /* "INSRING1" */
#define FRAME_RING_VERSION 1u
#define FRAME_RING_BEING_WRITTEN UINT64_MAX

/// Pixel types, as numpy writes them with explicit order.
#define FRAME_RING_U8 1u  /* "|u1" */
#define FRAME_RING_U16 2u /* "<u2" */
#define FRAME_RING_U32 4u /* "<u4" */

/// Flags of a slot.
#define FRAME_RING_FLAG_REPEATED 1u   /* the source sent this frame number before */
#define FRAME_RING_FLAG_NO_DEVICE_TIME 2u /* the source gave no time stamp */
#define FRAME_RING_FLAG_SERIES_END 4u /* a marker without pixels: the series is over; frame_number = frames triggered */
#define FRAME_RING_FLAG_STATISTICS 8u /* the fields from `sum` on are valid */

struct frame_ring_header {
  uint64_t magic;
  uint32_t version;
  uint32_t slot_count;
  uint64_t slot_bytes;   /* pixels that fit in a slot */
  uint64_t slot_stride;  /* distance of two slots: 4096 + slot_bytes rounded up to 4096 */
  uint64_t writer_pid;
  uint8_t pad0[24];
  /* own cache lines: the writer's, then the gating reader's */
  uint64_t published;    /* atomic: sequences below this are readable */
  uint64_t refused;      /* atomic: frames the writer could not place because the ring was full */
  uint8_t pad1[48];
  uint64_t consumed;     /* atomic: sequences below this may be overwritten */
  uint8_t pad2[56];
  uint8_t reserved[4096 - 192];
};

struct frame_ring_slot {
  uint64_t sequence;        /* atomic: the sequence held, or FRAME_RING_BEING_WRITTEN */
  uint64_t frame_number;    /* the camera's own count in this series, from 0 */
  int64_t device_time_ns;   /* start of the exposure on the camera's clock */
  int64_t exposure_ns;
  int64_t arrival_ns;       /* host CLOCK_MONOTONIC_RAW when the frame was complete here */
  uint64_t series;          /* the camera's series number */
  uint64_t refused_before;  /* frames refused (ring full) since the slot before this one */
  uint32_t flags;
  uint32_t pixel_type;
  uint32_t width;           /* pixels */
  uint32_t height;
  uint64_t bytes;           /* pixels used, row-major, no padding */
  uint32_t step;            /* index of the protocol step that asked for it, UINT32_MAX when none */
  uint32_t pixel_crc32c;    /* CRC-32C of the `bytes` pixel bytes, or 0 when not computed */
  uint64_t unusable_before; /* frames that arrived but could not be used since the slot before this one */
  /* statistics of the pixels, in counts; valid with FRAME_RING_FLAG_STATISTICS */
  uint64_t sum;
  uint64_t saturated;       /* pixels at or above the configured level; 0 without one */
  uint32_t minimum;
  uint32_t maximum;
  float change;             /* from a running reference, per pixel (docs/ring.md); not a number when there is none yet */
  uint32_t region_count;    /* of the means below; at most 16 */
  float region_means[16];   /* in configured order; not a number for a region outside the frame */
  uint8_t reserved[4096 - 192];
};

_Static_assert(sizeof(struct frame_ring_header) == 4096, "header is a page");
_Static_assert(sizeof(struct frame_ring_slot) == 4096, "slot header is a page");
_Static_assert(__builtin_offsetof(struct frame_ring_header, published) == 64, "published on a line of its own");
_Static_assert(__builtin_offsetof(struct frame_ring_header, consumed) == 128, "consumed on a line of its own");
_Static_assert(__builtin_offsetof(struct frame_ring_slot, unusable_before) == 88, "fields of all frames");
_Static_assert(__builtin_offsetof(struct frame_ring_slot, sum) == 96, "statistics behind them");
_Static_assert(__builtin_offsetof(struct frame_ring_slot, change) == 120, "statistics without gaps");
_Static_assert(__builtin_offsetof(struct frame_ring_slot, region_means) == 128, "means on lines of their own");
_Static_assert(__builtin_offsetof(struct frame_ring_slot, reserved) == 192, "what is left of the page");
