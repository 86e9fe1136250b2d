"""HDF5's bitshuffle filter, as hdf5plugin has it, on our blobs, and its chunks for us.

Usage: bitshuffle_chunks.py DIRECTORY. There are N.TYPE.raw (little-endian pixels; TYPE in numpy's words) with N.bslz4 and N.bszstd. Each
blob is put into an HDF5 file as a chunk, as it is, and read through the filter; prints "N METHOD same" or "N METHOD differs".
What the filter itself makes of the pixels is left in N.METHOD.theirs.
"""
import pathlib
import sys

import h5py
import hdf5plugin
import numpy

directory = pathlib.Path(sys.argv[1])
for path in sorted(directory.glob("*.raw")):
    number, kind, _ = path.name.split(".")
    pixels = numpy.fromfile(path, numpy.dtype(kind))
    for method, name in (("bslz4", "lz4"), ("bszstd", "zstd")):
        with h5py.File(directory / "file.h5", "w") as file:
            options = dict(chunks=pixels.shape, **hdf5plugin.Bitshuffle(cname=name))
            ours = file.create_dataset("ours", pixels.shape, pixels.dtype, **options)
            ours.id.write_direct_chunk((0,), (directory / f"{number}.{method}").read_bytes())
            theirs = file.create_dataset("theirs", data=pixels, **options)
        with h5py.File(directory / "file.h5") as file:
            same = numpy.array_equal(file["ours"][()], pixels)
            chunk = file["theirs"].id.read_direct_chunk((0,))[1]
            (directory / f"{number}.{method}.theirs").write_bytes(chunk)
        print(number, method, "same" if same else "differs")
