"""Decodes image messages of SIMPLON stream version 2 with cbor2 and DECTRIS' own decompression.

Usage: decode_simplon.py DIRECTORY. Writes the pixels of each channel of every N.cbor there into N.CHANNEL.raw, and prints one line of
JSON for each message: its type, numbers, times in ns and shape.
"""
import json
import pathlib
import sys

import cbor2
import numpy
from dectris.compression import decompress

TYPES = {64: "|u1", 69: "<u2", 70: "<u4"}


def pixels(array):
    assert array.tag == 40, array.tag
    shape, typed = array.value
    data = typed.value
    if isinstance(data, cbor2.CBORTag):
        assert data.tag == 56500, data.tag
        algorithm, element_bytes, packed = data.value
        data = decompress(packed, algorithm, elem_size=element_bytes)
    return numpy.frombuffer(data, TYPES[typed.tag]).reshape(tuple(shape))


def nanoseconds(rational):
    numerator, denominator = rational
    return numerator * 1_000_000_000 // denominator


directory = pathlib.Path(sys.argv[1])
for path in sorted(directory.glob("*.cbor"), key=lambda path: int(path.stem)):
    message = cbor2.loads(path.read_bytes())
    said = {"type": message["type"], "series": message["series_id"]}
    if message["type"] == "image":
        said |= {key: nanoseconds(message[key]) for key in ("start_time", "stop_time", "real_time")}
        said["image"] = message["image_id"]
        for channel, array in message["data"].items():
            picture = pixels(array)
            said["shape"] = list(picture.shape)
            (directory / f"{path.stem}.{channel}.raw").write_bytes(picture.tobytes())
    print(json.dumps(said))
