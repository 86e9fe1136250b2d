/// Why a figure cannot be had: what failed, and what to do.
struct BenchmarkError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}
