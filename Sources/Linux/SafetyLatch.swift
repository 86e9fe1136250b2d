/// Set by whoever makes the cell safe, asked by everybody who could switch something on. It works at once, from any thread,
/// also while an instrument's thread is busy; only the beginning of the next run releases it.
package final class SafetyLatch: Sendable {
  private let state = Monitor(false)

  package init() {}
  package var isSet: Bool { state.read { $0 } }
  package func set() { state.update { $0 = true } }
  package func release() { state.update { $0 = false } }
}
