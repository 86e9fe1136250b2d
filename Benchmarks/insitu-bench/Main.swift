import Glibc
import Linux
import Quantities

/// insitu-bench: what the parts cost, each figure beside a yardstick of the same run (docs/performance.md).
@main struct Main {
  static func main() {
    let words = Array(CommandLine.arguments.dropFirst())
    if words == [WakeUp.argument] {
      WakeUp.answer()
      return
    }
    guard let options = Options(words) else { leave(Options.usage, 64) }
    var benchmark = Benchmark(options)
    do throws(BenchmarkError) { try benchmark.run() } catch { leave("insitu-bench: \(error)\n", 70) }
    print("\n\(benchmark.table.text)")
  }

  private static func leave(_ message: String, _ code: Int32) -> Never {
    let bytes = Array(message.utf8)
    unsafe _ = write(2, bytes, bytes.count)
    exit(code)
  }
}
