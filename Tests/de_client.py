"""Direct Electron's own client (PyPI deapi) reads frames of our emulated DE-Server.

    de_client.py HOST PORT FRAMES DIRECTORY

Writes each frame of the movie buffers to DIRECTORY/<index>.u16 and prints what it was told, one name and value a line.
"""

import sys

import numpy

import deapi
from deapi.data_types import MovieBufferStatus

host, port, wanted, directory = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
client = deapi.Client()
client.usingMmf = False
client.connect(host, port)
print("command version", client.commandVersion)
print("camera", client.camera)
print("properties", len(client.list_properties()))

client["Frames Per Second"] = 100
client["Exposure Time (seconds)"] = wanted / 100
print("frames per second", client["Frames Per Second"])
client.start_acquisition(1, request_movie_buffer=True)
info, buffer, size, dtype = client.current_movie_buffer()
indices = []
while True:
    status, total, count, data = client.get_movie_buffer(buffer, size, 0)
    if status != MovieBufferStatus.OK:
        break
    numbers = numpy.frombuffer(data, numpy.longlong, offset=info.frameIndexStartPos, count=count)
    shape = (count, info.imageH, info.imageW)
    frames = numpy.frombuffer(data, dtype, offset=info.headerBytes, count=int(numpy.prod(shape))).reshape(shape)
    for number, frame in zip(numbers, frames):
        frame.tofile(f"{directory}/{number}.u16")
        indices.append(int(number))
print("status", status.name)
print("indices", ",".join(map(str, indices)))

image, pixels, attributes, histogram = client.get_result("sumtotal", "UINT16")
print("picture", "x".join(map(str, image.shape)), pixels.name)
print("mean agrees", abs(float(image.mean()) - attributes.imageMean) < 1e-3)
print("dose agrees", abs(attributes.eppixpf - attributes.imageMean) < 1e-6 * attributes.imageMean)
print("histogram", sum(histogram.data) == image.size)

client["Exposure Time (seconds)"] = 1000
client.start_acquisition(1)
print("acquiring", client.acquiring)
print("stopped", client.stop_acquisition())
client.disconnect()
