import FrameIngest
import FrameRing
import Glibc
import Linux
import Quantities
import Testing

/// Names a python that has `libertem_dectris`, `zmq` and `numpy` (all on PyPI).
private let python = getenv("INSITUD_PYTHON").map { String(cString: $0) }

/// Receives one series of the simulator itself and decodes it without any code of ours, writes the pixels into the
/// directory given, prints the address of a second simulator and sends the same series there.
private let script = #"""
  import os, sys, threading, time
  import numpy, zmq, json
  from libertem_dectris import DectrisSim

  directory, count = sys.argv[1], int(sys.argv[2])

  def simulator():
      return DectrisSim.new_mocked(uri="tcp://127.0.0.1", num_frames=count, dwelltime=None, random_port=True)

  def send(sim):
      sim.send_headers(); sim.send_frames(); sim.send_footer()

  def lz4(source):
      out, at = bytearray(), 0
      while at < len(source):
          token = source[at]; at += 1
          length = token >> 4
          if length == 15:
              while True:
                  more = source[at]; at += 1; length += more
                  if more != 255: break
          out += source[at:at + length]; at += length
          if at >= len(source): break
          offset = source[at] | source[at + 1] << 8; at += 2
          length = token & 15
          if length == 15:
              while True:
                  more = source[at]; at += 1; length += more
                  if more != 255: break
          for _ in range(length + 4): out.append(out[-offset])
      return bytes(out)

  def decode(blob, pixels):
      at, out = 12, []
      left = pixels
      while left > 0:
          size = int.from_bytes(blob[at:at + 4], "big"); at += 4
          planes = numpy.frombuffer(lz4(blob[at:at + size]), numpy.uint8).reshape(16, -1); at += size
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
      if head.get("htype") != "dimage-1.0": continue
      width, height = json.loads(parts[1])["shape"]
      decode(parts[2], width * height).tofile(f"{directory}/{head['frame']}.u16")
      done += 1
  other = simulator()
  print(other.get_uri(), flush=True)
  send(other)
  for _ in range(200):
      if os.path.exists(directory + "/done"): break
      time.sleep(0.1)
  """#

@Suite(
  "SIMPLON camera and a public simulator",
  .enabled(if: python != nil, "INSITUD_PYTHON names no python with libertem_dectris"))
struct SimplonSimulatorTests {
  @Test("Frames of the simulator are recorded pixel by pixel as an independent decoder sees them")
  func pixelByPixel() throws {
    let frames = 20
    let directory = try TemporaryDirectory()
    let scriptPath = directory.path + "/simulator.py"
    try FileSystem.replace(scriptPath, with: Array(script.utf8))
    let pipe = try #require(popen("\(python!) \(scriptPath) \(directory.path) \(frames)", "r"))
    defer {
      try? FileSystem.replace(directory.path + "/done", with: [])
      pclose(pipe)
    }
    var line = [CChar](repeating: 0, count: 256)
    try #require(fgets(&line, 256, pipe) != nil, "the simulator printed no address")
    let url = String(decoding: line.prefix { $0 > 32 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)

    let ring = try FrameRing.create(directory.path + "/ring", slots: frames, slotBytes: 512 * 512 * 2)
    let camera = try CameraModels.make(CameraSettings(model: "simplon", url: url))
    try camera.connect()
    try camera.start(ExposureRequest(series: 0, framePeriod: Seconds(1), exposure: Seconds(1)), into: ring)
    var events: [CameraEvent] = []
    let end = MonotonicTime.now + Seconds(30)
    var isOver = false
    while !isOver, MonotonicTime.now < end {
      let event = try camera.next(into: ring, step: 0, atMost: Seconds(1))
      if case .seriesEnded = event { isOver = true }
      if case .clockPair = event { continue }
      if event != .nothing { events.append(event) }
    }

    #expect(events.first == .seriesStarted(series: 34))
    #expect(events.filter { $0 == .frame }.count == frames)
    #expect(events.count == frames + 2)
    var different: Set<[UInt8]> = []
    for sequence in 0..<UInt64(frames) {
      let seen = ring.read(sequence) { header, pixels in (header, Array(pixels)) }
      let (header, pixels) = try #require(seen)
      let truth = try FileSystem.read("\(directory.path)/\(header.frameNumber).u16")
      #expect(header.frameNumber == sequence)
      #expect(header.width == 512)
      #expect(header.height == 512)
      #expect(header.exposureNanoseconds == 500_000)
      #expect(pixels == truth)
      different.insert(pixels)
    }
    // The pictures are not all the same, or little would be shown.
    #expect(different.count > 3)
  }
}
