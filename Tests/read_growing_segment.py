"""Opens a segment with mrcfile while it is being recorded. Usage: read_growing_segment.py FILE

Looks at it again and again until it has stopped growing; prints one JSON object: the frame counts seen. Fails when a
picture that mrcfile gives differs from the same one through a plain memmap, or when the index speaks of pixels that
are not there.
"""
import json
import os
import sys
import time
import warnings

import mrcfile
import numpy as np

path = sys.argv[1]
counts = []
unchanged = 0
while unchanged < 10:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # mrcfile warns where header and file do not agree
        try:
            segment = mrcfile.mmap(path, mode="r", permissive=False)
        except (RuntimeWarning, ValueError) as error:
            segment = None
            # More pixels than the header counts is the one thing that is allowed while it grows.
            if "larger" not in str(error) and "longer" not in str(error):
                raise
        if segment is None:
            warnings.simplefilter("ignore")
            segment = mrcfile.mmap(path, mode="r", permissive=True)
    header_frames = int(segment.header.nz)
    index = os.path.getsize(path[:-4] + ".idx") // 64
    size = os.path.getsize(path)
    shape = (int(segment.header.ny), int(segment.header.nx))
    assert size >= 4096 + index * shape[0] * shape[1] * 2, "the index is ahead of the pixels"
    assert size >= 4096 + header_frames * shape[0] * shape[1] * 2, "the header is ahead of the pixels"
    if header_frames > 0:
        raw = np.memmap(path, "<u2", "r", 4096, (header_frames, *shape))
        data = segment.data.reshape(-1, *shape)
        for frame in {0, header_frames // 2, header_frames - 1}:
            assert data.dtype == np.dtype("<u2")
            assert (data[frame] == raw[frame]).all() and raw[frame].max() > 0, f"frame {frame}"
    segment.close()
    unchanged = unchanged + 1 if counts and counts[-1] == header_frames else 0
    counts.append(header_frames)
    time.sleep(0.2)
print(json.dumps({"counts": counts}))
