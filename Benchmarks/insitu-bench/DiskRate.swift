import Glibc
import JSON
import Linux
import Quantities

/// What the disk itself takes and gives: one file from end to end with `O_DIRECT`, 2 MiB at a time.
struct DiskRate {
  static let block = 2 << 20

  let directory: String
  /// Bytes of the file, removed afterwards.
  let bytes: Int
  /// Path of fio; nil measures with a loop of our own.
  let fio: String?

  var name: String { fio == nil ? "O_DIRECT loop" : "fio" }

  /// Bytes per second.
  func measure() throws(BenchmarkError) -> Double {
    let path = directory + "/yardstick"
    defer { FileSystem.remove(path) }
    if let fio { return try measure(fio, path, "write", size: ["--size=\(bytes)"]) }
    return try loop(path)
  }

  /// Bytes per second of reading a file that is there.
  func measureReading(_ path: String) throws(BenchmarkError) -> Double {
    if let fio { return try measure(fio, path, "read", size: ["--size=\(bytes)", "--readonly"]) }
    return try readingLoop(path)
  }

  private func measure(_ fio: String, _ path: String, _ way: String, size: [String]) throws(BenchmarkError) -> Double {
    let result = directory + "/fio.json"
    defer { FileSystem.remove(result) }
    let child = try ChildProcess(
      fio,
      [
        "--name=yardstick", "--filename=\(path)", "--direct=1", "--rw=\(way)", "--bs=\(Self.block)",
        "--output-format=json", "--output=\(result)",
      ] + size, output: directory + "/fio.log")
    defer { FileSystem.remove(directory + "/fio.log") }
    guard child.ended(within: Seconds(120)) == 0, let text = try? FileSystem.read(result),
      let start = text.firstIndex(of: UInt8(ascii: "{")), let json = try? JSONValue(parsing: Array(text[start...])),
      let rate = json["jobs"]?.array?.first?[way]?["bw_bytes"]?.double
    else { throw BenchmarkError("fio did not measure the disk below \(directory)") }
    return rate
  }

  private func loop(_ path: String) throws(BenchmarkError) -> Double {
    let buffer = AlignedBuffer(count: Self.block)
    do throws(LinuxError) {
      let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, direct: true)
      file.reserve(Int64(bytes))
      let began = MonotonicTime.now
      for offset in stride(from: 0, to: bytes, by: Self.block) {
        unsafe try file.write(UnsafeRawBufferPointer(buffer.bytes), at: Int64(offset))
      }
      return Double(bytes) / (MonotonicTime.now - began).value
    } catch { throw BenchmarkError("the disk below \(directory) cannot be measured: \(error)") }
  }

  private func readingLoop(_ path: String) throws(BenchmarkError) -> Double {
    let buffer = AlignedBuffer(count: Self.block)
    do throws(LinuxError) {
      let file = try FileDescriptor.open(path, O_RDONLY, direct: true)
      let began = MonotonicTime.now
      for offset in stride(from: 0, to: bytes, by: Self.block) {
        _ = unsafe try file.read(into: buffer.bytes, at: Int64(offset))
      }
      return Double(bytes) / (MonotonicTime.now - began).value
    } catch { throw BenchmarkError("\(path) cannot be read without the page cache: \(error)") }
  }
}
