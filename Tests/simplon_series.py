"""Sends a series of the public SIMPLON simulator. Usage: simplon_series.py DIRECTORY FRAMES

First receives the same series itself and decodes it without any code of this project, into DIRECTORY/<frame>.u16; then
prints the address of a second simulator and, when DIRECTORY/go exists, sends the series there.
"""
import json
import os
import sys
import threading
import time

import numpy
import zmq
from libertem_dectris import DectrisSim

directory, count = sys.argv[1], int(sys.argv[2])


def simulator():
    return DectrisSim.new_mocked(uri="tcp://127.0.0.1", num_frames=count, dwelltime=None, random_port=True)


def send(sim):
    sim.send_headers()
    sim.send_frames()
    sim.send_footer()


def lz4(source):
    """A block of LZ4, by its public description."""
    out, at = bytearray(), 0

    def length(start):
        nonlocal at
        total = start
        while start == 15:
            more = source[at]
            at += 1
            total += more
            if more != 255:
                break
        return total

    while at < len(source):
        token = source[at]
        at += 1
        literals = length(token >> 4)
        out += source[at:at + literals]
        at += literals
        if at >= len(source):
            break
        offset = source[at] | source[at + 1] << 8
        at += 2
        for _ in range(length(token & 15) + 4):
            out.append(out[-offset])
    return bytes(out)


def decode(blob, pixels):
    """bs16-lz4: blocks of bit planes behind a header of 12 bytes, which the simulator leaves empty."""
    at, out, left = 12, [], pixels
    while left > 0:
        size = int.from_bytes(blob[at:at + 4], "big")
        at += 4
        planes = numpy.frombuffer(lz4(blob[at:at + size]), numpy.uint8).reshape(16, -1)
        at += size
        bits = numpy.unpackbits(planes, axis=1, bitorder="little").astype(numpy.uint16)
        out.append((bits << numpy.arange(16, dtype=numpy.uint16)[:, None]).sum(axis=0).astype("<u2"))
        left -= bits.shape[1]
    return numpy.concatenate(out)


sim = simulator()
pull = zmq.Context.instance().socket(zmq.PULL)
pull.RCVTIMEO = 10000
pull.connect(sim.get_uri())
threading.Thread(target=send, args=(sim,), daemon=True).start()
done = 0
while done < count:
    parts = pull.recv_multipart()
    head = json.loads(parts[0])
    if head.get("htype") != "dimage-1.0":
        continue
    width, height = json.loads(parts[1])["shape"]
    decode(parts[2], width * height).tofile(f"{directory}/{head['frame']}.u16")
    done += 1
other = simulator()
print(other.get_uri(), flush=True)
end = time.monotonic() + 30
while not os.path.exists(directory + "/go"):
    if time.monotonic() > end:
        sys.exit("nobody said go")
    time.sleep(0.05)
send(other)
while not os.path.exists(directory + "/done") and time.monotonic() < end:
    time.sleep(0.05)
