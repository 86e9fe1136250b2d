"""Direct Electron's own simulated DE-Server (PyPI deapi) for one client; each frame it sends is kept in a file.

    de_server.py DIRECTORY      prints its port, serves one connection, writes DIRECTORY/<index>.u16

The simulator wants scikit-image and sympy for things that are not asked for here; small stand-ins save half a gigabyte.
"""

import re
import socket
import struct
import sys
import types

import numpy


def stand_in(name, **members):
    module = types.ModuleType(name)
    for key, value in members.items():
        setattr(module, key, value)
    sys.modules[name] = module


def disk(center, radius):
    span = numpy.arange(-int(radius), int(radius) + 1)
    rows, columns = numpy.meshgrid(span, span, indexing="ij")
    inside = rows**2 + columns**2 < radius**2
    return (rows[inside] + int(center[0])), (columns[inside] + int(center[1]))


def expand_labels(labels, distance=1):
    # As many different frames as there can be: all that the test needs of them.
    return (numpy.arange(labels.size) % 4).reshape(labels.shape)


class Expression:
    """The arithmetic that the simulator's properties are related by."""

    def __init__(self, text):
        self.text = text
        self.free_symbols = set(re.findall(r"[a-z_]\w*", text))

    def evalf(self, subs):
        def piecewise(*cases):
            return next(value for value, holds in cases if holds)

        names = {key: float(value) for key, value in subs.items()}
        return eval(self.text, {"Piecewise": piecewise, "__builtins__": {}}, names)


stand_in("skimage")
stand_in("skimage.transform", resize=None)
stand_in("skimage.draw", disk=disk)
stand_in("skimage.segmentation", expand_labels=expand_labels)
stand_in("sympy", parse_expr=Expression)

from deapi.buffer_protocols import pb  # noqa: E402
from deapi.simulated_server.fake_server import FakeServer  # noqa: E402


def receive(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionResetError
        data += part
    return data


def main():
    directory, talk = sys.argv[1], sys.stdout
    # The simulator prints what it does.
    sys.stdout = sys.stderr
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], file=talk, flush=True)
    connection, _ = listener.accept()
    server = FakeServer(socket=connection)
    while True:
        try:
            packet = pb.DEPacket()
            packet.ParseFromString(receive(connection, struct.unpack("<I", receive(connection, 4))[0]))
        except ConnectionResetError:
            return
        before = server.current_movie_index
        answers = server._respond_to_command(packet)
        movie = packet.command[0].command_id % 100 == FakeServer.GET_MOVIE_BUFFER
        if movie and len(answers) == 3:
            frames = numpy.frombuffer(answers[2], "<u2").reshape(server.current_movie_index - before, -1)
            for index, frame in enumerate(frames, before):
                frame.tofile(f"{directory}/{index}.u16")
        for answer in answers:
            if isinstance(answer, bytes):
                connection.sendall(answer)
            else:
                connection.sendall(struct.pack("<I", answer.ByteSize()) + answer.SerializeToString())


main()
