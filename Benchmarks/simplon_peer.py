#!/usr/bin/env python3
"""The public side of the benchmark of SIMPLON stream version 1 (docs/performance.md): PyPI's libertem-dectris.

  simplon_peer.py send FILE          sends a series of a recorded stream, prints the address first
  simplon_peer.py receive URL FRAMES WIDTH HEIGHT
                                     receives and decodes; prints frames, seconds from the first stack to the last, CPU
                                     seconds of this process meanwhile, and the sum of all pixels
"""
import os
import signal
import sys
import tempfile
import time
import warnings

import numpy as np
from libertem_dectris import CamClient, DectrisConnection, DectrisSim

STACK = 16  # frames that are decoded in one call


def send(path):
    sim = DectrisSim(uri="tcp://127.0.0.1", filename=path, dwelltime=None, random_port=True)
    print(sim.get_uri(), flush=True)
    sim.send_headers()
    sim.send_frames()
    sim.send_footer()
    signal.pause()  # what is under way is still delivered: whoever started this ends it


def receive(url, frames, width, height):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        connection = DectrisConnection(
            url, frame_stack_size=STACK, handle_path=os.path.join(directory, "handle"), num_slots=128,
            bytes_per_frame=2 * width * height, huge=False)
        connection.start_passive(timeout=30)
        if connection.wait_for_arm(timeout=30) is None:
            sys.exit("simplon_peer: no series began within 30 s")
        client = CamClient(connection.get_socket_path())
        room = np.zeros((STACK, height, width), np.uint16)
        done, total, began, cpu = 0, 0, None, 0
        while done < frames:
            stack = connection.get_next_stack(max_size=STACK)
            if stack is None:
                break
            if began is None:
                began, cpu, first = time.monotonic(), time.process_time(), len(stack)
            client.decompress_frame_stack(stack, room[:len(stack)])
            done += len(stack)
            total += int(room[len(stack) - 1, 0, 0])
            client.done(stack)
        ended, used = time.monotonic(), time.process_time()
        connection.close()
        print(done, ended - began, used - cpu, total)


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    if len(sys.argv) == 3 and sys.argv[1] == "send":
        send(sys.argv[2])
    elif len(sys.argv) == 6 and sys.argv[1] == "receive":
        receive(sys.argv[2], *(int(word) for word in sys.argv[3:]))
    else:
        sys.exit(__doc__)
