"""Reads the daemon's streams as any pyzmq program would, and checks their shapes. Usage: watch_streams.py ENDPOINT SECONDS

Ends a moment after a run has ended, at the latest after SECONDS.

Prints one JSON object: for each topic the messages seen, those missed by `seq`, and what was wrong with any of them.
"""
import json
import sys
import time

import numpy as np
import zmq

endpoint, seconds = sys.argv[1], float(sys.argv[2])
TOPICS = ["frame/", "ref/", "preview/", "sample/", "event/", "status/"]
COMMON = ["v", "run", "stream", "seq", "t_ns", "t_mono_ns", "clock", "parts"]
COLUMNS = {"t_ns": "<i8", "t_mono_ns": "<i8", "voltage_V": "<f8", "current_A": "<f8", "charge_C": "<f8",
           "range_A": "<f8", "flags": "<u4", "step": "<u4"}
PICTURE = ["htype", "type", "shape", "frame", "series", "endianness", "encoding", "exposure_ns", "step", "v_V", "i_A",
           "charge_C"]


def check(topic, head, arrays):
    for key in COMMON:
        assert key in head, f"{topic} lacks {key}"
    assert head["v"] == 1 and head["t_ns"] > 1_600_000_000_000_000_000 and "source" in head["clock"]
    kind = topic.split("/")[0] + "/"
    if kind in ("frame/", "ref/", "preview/"):
        for key in PICTURE:
            assert key in head, f"{topic} lacks {key}"
        assert head["htype"] == "array-1.0" and head["endianness"] == "little" and head["encoding"] == ""
    if kind == "frame/":
        assert arrays["pixels"].dtype == np.dtype("<u2") and list(arrays["pixels"].shape) == head["shape"] == [256, 256]
        assert head["type"] == "uint16" and arrays["pixels"].mean() > 0
    elif kind == "preview/":
        assert arrays["pixels"].dtype == np.dtype("|u1") and list(arrays["pixels"].shape) == head["shape"]
        assert arrays["pixels"].max() > 0
    elif kind == "ref/":
        assert not arrays and head["nbytes"] == 256 * 256 * 2
        pixels = np.memmap(head["file"], "<u2", "r", head["offset"], (256, 256))
        assert pixels.mean() > 0
    elif kind == "sample/":
        lengths = {len(arrays[name]) for name in COLUMNS}
        assert len(lengths) == 1 and lengths.pop() > 0
        for name, dtype in COLUMNS.items():
            assert arrays[name].dtype == np.dtype(dtype), name
        assert (np.diff(arrays["t_mono_ns"]) > 0).all()
    elif kind == "event/":
        assert head["kind"] and isinstance(head["message"], str) and isinstance(head["details"], dict)
    elif kind == "status/":
        assert head["status"]["state"] in ("idle", "starting", "running", "paused", "stopping")


socket = zmq.Context.instance().socket(zmq.SUB)
socket.rcvhwm = 2000
socket.connect(endpoint)
for prefix in TOPICS:
    socket.subscribe(prefix.encode())
seen, missed, last, wrong = {}, {}, {}, []
print("ready", file=sys.stderr, flush=True)
end = time.monotonic() + seconds
while time.monotonic() < end:
    if not socket.poll(100):
        continue
    topic, head, *body = socket.recv_multipart()
    topic, head = topic.decode(), json.loads(head)
    gap = head["seq"] - last.get(topic, head["seq"] - 1) - 1
    last[topic] = head["seq"]
    seen[topic] = seen.get(topic, 0) + 1
    if head.get("kind") == "run_ended":
        end = min(end, time.monotonic() + 1.5)
    missed[topic] = missed.get(topic, 0) + gap
    try:
        assert len(head["parts"]) == len(body), f"{topic} has {len(body)} parts"
        check(topic, head, {p["name"]: np.frombuffer(b, p["dtype"]).reshape(p["shape"])
                            for p, b in zip(head["parts"], body)})
    except Exception as error:
        wrong.append(f"{topic} {head['seq']}: {error!r}")
print(json.dumps({"seen": seen, "missed": missed, "wrong": wrong[:10]}))
