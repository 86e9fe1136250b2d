#!/usr/bin/env python3
"""Frames straight from insitud's ring in shared memory, without a copy through a socket (docs/ring.md).

  ring_reader.py [RING [SECONDS]]        prints what it reads and what it missed

    for header, pixels in RingReader("/dev/shm/insitud-run-insitud-ring").frames():
        ...                               # pixels: a copy of its own, numpy, (height, width)

Looks only: the ring is mapped read-only and the camera is never held up. A reader that is too slow misses frames; `missed`
says how many. The order of loads that this relies on is that of x86; on ARM use C (CFrameRing.h).
"""
import ctypes
import mmap
import os
import sys
import time

import numpy as np  # apt install python3-numpy

MAGIC = 0x31474E4952534E49
VERSION = 1
PAGE = 4096
PUBLISHED = 64  # offset of the count of published frames; its low 32 bits are a futex
SLOT = np.dtype([
    ("sequence", "<u8"), ("frame_number", "<u8"), ("device_time_ns", "<i8"), ("exposure_ns", "<i8"),
    ("arrival_ns", "<i8"), ("series", "<u8"), ("refused_before", "<u8"), ("flags", "<u4"), ("pixel_type", "<u4"),
    ("width", "<u4"), ("height", "<u4"), ("bytes", "<u8"), ("step", "<u4"), ("pixel_crc32c", "<u4"),
    ("unusable_before", "<u8"),
    # With the flag STATISTICS: of the pixels, in counts.
    ("sum", "<u8"), ("saturated", "<u8"), ("minimum", "<u4"), ("maximum", "<u4"), ("change", "<f4"),
    ("region_count", "<u4"), ("region_means", "<f4", 16)])
PIXELS = {1: np.dtype("|u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4")}
REPEATED, NO_DEVICE_TIME, SERIES_END, STATISTICS = 1, 2, 4, 8

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_SYS_FUTEX = {"x86_64": 202, "aarch64": 98}[os.uname().machine]


class _Span(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


class RingReader:
    """A cursor of its own in a ring. `missed`: frames that were overwritten before this reader came to them."""

    def __init__(self, path):
        # On huge pages its usual path is a link, and the kernel follows no links of other users in /dev/shm.
        path = os.path.realpath(path)
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < PAGE:
                raise ValueError(f"{path} is no ring: {size} bytes")
            self._map = mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ)
        self._bytes = np.frombuffer(self._map, np.uint8)
        magic, = self._bytes[:8].view("<u8")
        version, slots = (int(n) for n in self._bytes[8:16].view("<u4"))
        slot_bytes, stride = (int(n) for n in self._bytes[16:32].view("<u8"))
        if magic != MAGIC:
            raise ValueError(f"{path} is no ring, or its writer has not finished making it")
        if version != VERSION:
            raise ValueError(f"{path} is a ring of version {version}; this reader understands {VERSION}")
        if slots < 1 or stride < PAGE + slot_bytes or size < PAGE + slots * stride:
            raise ValueError(f"{path}: {slots} slots of {stride} bytes do not fit its {size} bytes")
        self.slots = slots
        self._published = self._bytes[PUBLISHED:PUBLISHED + 8].view("<u8")
        self._futex = self._bytes.ctypes.data + PUBLISHED
        self._headers = [self._bytes[PAGE + i * stride:][:SLOT.itemsize].view(SLOT) for i in range(slots)]
        self._pixels = [self._bytes[2 * PAGE + i * stride:][:slot_bytes] for i in range(slots)]
        self.next = self.published  # what was there before is not asked for; set it back to have it
        self.missed = 0

    @property
    def published(self):
        """Frames published so far: those with smaller numbers are there, or were."""
        return int(self._published[0])

    def wait(self, seconds):
        """True as soon as the frame `next` is there."""
        end = time.monotonic() + seconds
        while True:
            seen = self.published
            if seen > self.next:
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            span = _Span(int(left), int(left % 1 * 1e9))
            # FUTEX_WAIT (0): the kernel compares once more before it sleeps.
            _syscall(_SYS_FUTEX, ctypes.c_void_p(self._futex), 0, ctypes.c_uint32(seen & 0xFFFFFFFF), ctypes.byref(span))

    def copy(self, sequence):
        """(header, pixels) of a frame, or None when it was overwritten before the copy was whole."""
        at = sequence % self.slots
        header = self._headers[at]
        if header["sequence"][0] != sequence:
            return None
        found = header[0].copy()
        dtype = PIXELS.get(int(found["pixel_type"]))
        height, width = int(found["height"]), int(found["width"])
        size = height * width * dtype.itemsize if dtype else -1
        if size != found["bytes"] or size > len(self._pixels[at]):
            if header["sequence"][0] != sequence:
                return None
            raise ValueError(f"slot {at} contradicts itself: {found}")
        pixels = self._pixels[at][:size].copy()
        # Unchanged after the copy: the copy is whole.
        if header["sequence"][0] != sequence:
            return None
        return found, pixels.view(dtype).reshape(height, width)

    def read(self, seconds):
        """The next frame, or None when none came in time. Frames that are gone are counted in `missed`."""
        while self.wait(seconds):
            oldest = self.published - self.slots
            if self.next < oldest:
                self.missed += oldest - self.next
                self.next = oldest
            frame = self.copy(self.next)
            self.next += 1
            if frame is not None:
                return frame
            self.missed += 1
        return None

    def frames(self, patience=float("inf")):
        """Frames one after the other, until none has come for `patience` seconds."""
        while (frame := self.read(min(patience, 3600))) is not None or patience == float("inf"):
            if frame is not None:
                yield frame


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "/dev/shm/insitud-run-insitud-ring"
    span = float(sys.argv[2]) if len(sys.argv) > 2 else float("inf")
    reader = RingReader(path)
    end, count = time.monotonic() + span, 0
    while time.monotonic() < end:
        frame = reader.read(min(1, max(0, end - time.monotonic())))
        if frame is None:
            continue
        header, pixels = frame
        count += 1
        if header["flags"] & SERIES_END:
            print(f"series {header['series']}: over, {header['frame_number']} frames triggered", flush=True)
        elif count % 100 == 1:
            known = header["flags"] & STATISTICS
            mean = header["sum"] / max(1, pixels.size) if known else pixels.mean()
            change = f", changed by {header['change']:.3g}" if known and header["change"] == header["change"] else ""
            print(f"series {header['series']} frame {header['frame_number']}: {pixels.dtype}{pixels.shape}, "
                  f"mean {mean:.4g}{change}, {reader.missed} missed so far", flush=True)
    print(f"{count} frames read, {reader.missed} missed")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except (OSError, ValueError) as error:
        sys.exit(f"ring_reader: {error}")
