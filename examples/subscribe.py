#!/usr/bin/env python3
"""Print every frame and sample insitud publishes: subscribe.py [ENDPOINT [TOPIC]]"""
import json, sys, zmq, numpy as np  # apt install python3-zmq python3-numpy

url, topic = (sys.argv[1:] + ["ipc:///run/insitud/streams", ""][len(sys.argv[1:]):])[:2]
socket = zmq.Context.instance().socket(zmq.SUB)
socket.rcvhwm = 64  # bound the backlog; beyond it the daemon drops for us, which shows in seq
socket.connect(url)
for prefix in [topic] if topic else ["frame/", "sample/"]:
    socket.subscribe(prefix.encode())
last = {}
while True:
    name, head, *body = socket.recv_multipart(copy=False)
    name, head = name.bytes.decode(), json.loads(head.bytes)
    missed = head["seq"] - last.get(name, head["seq"] - 1) - 1
    last[name] = head["seq"]
    if missed > 0:
        print(f"{name}: {missed} messages missed", file=sys.stderr)
    arrays = {p["name"]: np.frombuffer(b, p["dtype"]).reshape(p["shape"]) for p, b in zip(head["parts"], body)}
    means = (f"{key} {a.dtype}{a.shape} mean {a.mean():.6g}" for key, a in arrays.items())
    print(name, head["run"], head["seq"], f"frame {head['frame']}" if "frame" in head else "", *means, flush=True)
