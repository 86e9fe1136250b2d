"""Opens the segments of recorded runs with HyperSpy, LiberTEM, mrcfile and numpy, and compares them frame by frame.

Usage: read_run.py DATA_DIRECTORY       (called by `make readers`, after `make demo`)
"""
import glob
import sys

import mrcfile
import numpy as np

segments = sorted(glob.glob(sys.argv[1] + "/runs/*/frames-*.mrc"))
if not segments:
    sys.exit(f"no segments below {sys.argv[1]}/runs; run `make demo` first")

for path in segments:
    index = np.fromfile(path[:-4] + ".idx", np.dtype([
        ("frame_number", "<u8"), ("device_time_ns", "<i8"), ("arrival_raw_ns", "<i8"), ("exposure_ns", "<i8"),
        ("series", "<u4"), ("flags", "<u4"), ("position", "<u8"), ("step", "<u4"), ("pixel_crc32c", "<u4"),
        ("ordinal", "<u4"), ("record_crc32c", "<u4")]))
    with mrcfile.mmap(path, permissive=True) as mrc:
        shape, which = mrc.data.shape, [0, len(mrc.data) // 2, len(mrc.data) - 1]
        expected = {k: np.array(mrc.data[k]) for k in which}
    assert shape[0] == len(index), f"{path}: {shape[0]} frames, {len(index)} index records"

    raw = np.memmap(path, "<u2", "r", 4096, shape)
    for k in which:
        assert (raw[k] == expected[k]).all(), f"numpy differs at frame {k}"

    import hyperspy.api as hs
    signal = hs.load(path, lazy=True)
    for k in which:
        assert (signal.inav[k].data.compute() == expected[k]).all(), f"HyperSpy differs at frame {k}"

    from libertem.api import Context
    from libertem.executor.inline import InlineJobExecutor
    with Context(executor=InlineJobExecutor()) as context:
        data = context.load("mrc", path=path)
        for k in which:
            picked = context.run(context.create_pick_analysis(dataset=data, x=k)).intensity.raw_data
            assert (picked == expected[k]).all(), f"LiberTEM differs at frame {k}"
    print(f"{path}: {shape[0]} frames of {shape[2]} x {shape[1]}: mrcfile, numpy, HyperSpy and LiberTEM agree")
