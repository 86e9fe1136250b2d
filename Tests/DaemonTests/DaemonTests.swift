import Testing

/// The programs as users run them: `insitud` with the twin it starts, driven over its control socket. One after the other:
/// each has a whole instrument of its own, and two cores carry only one.
@Suite("Daemon", .serialized)
struct DaemonTests {}
