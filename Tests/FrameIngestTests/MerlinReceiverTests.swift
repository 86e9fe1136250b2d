import FrameIngest
import Glibc
import Linux
import NanobatteryTwin
import Quantities
import Testing

/// A python that has `libertem_qd_mpx` (PyPI, 110 MB installed: not among the requirements of `make test`).
private let python: String? = {
  guard let name = getenv("INSITUD_PYTHON").map({ String(cString: $0) }),
    system("\(name) -c 'import libertem_qd_mpx, numpy' 2> /dev/null") == 0
  else { return nil }
  return name
}()

/// Receives one acquisition with a public receiver and writes each frame's pixels into the directory given.
private let script = #"""
  import socket, sys
  import numpy
  from libertem_qd_mpx import CamClient, QdConnection

  directory, data, control, frames, depth = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
  dtype = {6: "u1", 12: "<u2", 24: "<u4"}[depth]

  def ask(body):
      link.sendall(b"MPX,%010d,%s" % (len(body) + 1, body.encode()))
      answer = link.recv(1024).decode()
      assert answer.endswith(",0"), answer

  handle = directory + "/qd"
  connection = QdConnection(data_host="127.0.0.1", data_port=data, frame_stack_size=4, shm_handle_path=handle, num_slots=64)
  client = CamClient(handle_path=handle)
  connection.start_passive(10.0)
  link = socket.create_connection(("127.0.0.1", control), 5)
  ask(f"SET,COUNTERDEPTH,{depth}")
  ask("SET,ACQUISITIONTIME,2.4")
  ask("SET,ACQUISITIONPERIOD,2.5")
  ask(f"SET,NUMFRAMESTOACQUIRE,{frames}")
  ask("CMD,STARTACQUISITION,0")
  config = connection.wait_for_arm(10.0)
  assert config.frames_in_acquisition() == frames
  number = 0
  while number < frames:
      stack = connection.get_next_stack(4)
      if stack is None: break
      assert tuple(stack.get_shape()) == (48, 48) and stack.get_dtype_string() == {6: "uint8", 12: "uint16", 24: "uint32"}[depth]
      pixels = numpy.zeros((len(stack), 48, 48), dtype=numpy.float32)
      client.decode_range_into_buffer(stack, pixels, 0, len(stack))
      for frame in pixels:
          frame.astype(dtype).tofile(f"{directory}/{number}.raw")
          number += 1
      client.done(stack)
  connection.close()
  print("frames:", number)
  """#

@Suite(
  "The twin's Merlin and a public receiver",
  .enabled(if: python != nil, "INSITUD_PYTHON names no python with libertem_qd_mpx (pip install libertem-qd-mpx)"))
struct MerlinReceiverTests {
  @Test("A public receiver understands what the twin sends, pixel by pixel", arguments: [6, 12, 24])
  func received(depth: Int) throws {
    let frames = 40
    let twin = try TwinStream(side: 48)
    var settings = MerlinSender.Settings()
    settings.dataAddress = "127.0.0.1:0"
    settings.controlAddress = "127.0.0.1:0"
    let sent = twin.sent
    settings.sent = { frame in sent.update { $0.append(frame) } }
    let sender = try MerlinSender(twin.camera, settings)
    defer { sender.close() }
    func port(_ address: String) -> Substring { address[address.index(after: address.lastIndex(of: ":")!)...] }
    let path = twin.directory.path
    try FileSystem.replace(path + "/receive.py", with: Array(script.utf8))
    let command =
      "timeout 60 \(python!) \(path)/receive.py \(path) \(port(sender.dataAddress)) \(port(sender.controlAddress)) \(frames) \(depth)"
    let result = system(command + " > \(path)/told 2>&1")
    let told = String(decoding: try FileSystem.read(path + "/told"), as: UTF8.self)
    #expect(result == 0, "\(told)")
    let all = sent.read { $0 }
    #expect(all.map(\.frame) == (0..<UInt64(frames)).map { $0 })
    for frame in all {
      let pixels = try FileSystem.read("\(path)/\(frame.frame).raw")
      #expect(pixels.count == 48 * 48 * (depth == 6 ? 1 : depth == 12 ? 2 : 4))
      #expect(pixels.withUnsafeBytes { crc32c($0) } == frame.pixelCRC, "frame \(frame.frame)")
    }
  }
}
