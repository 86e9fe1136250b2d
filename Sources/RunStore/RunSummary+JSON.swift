package import JSON

extension RunSummary {
  /// Sums over all series, and whether every series balances.
  package struct LedgerTotal: Sendable {
    /// nil when a camera never said for one of the series.
    package var triggered: UInt64?
    package var received: UInt64 = 0
    package var written: UInt64 = 0
    package var lostAtSource: UInt64 = 0
    package var skipped: UInt64 = 0
    package var merged: UInt64 = 0
    package var dropped: [String: UInt64] = [:]
    /// Frames unaccounted for.
    package var difference: Int64 = 0
    /// Why it does not balance; nil when it does.
    package var reason: String?
    package var isBalanced: Bool { reason == nil }
  }

  package var ledger: LedgerTotal {
    var total = LedgerTotal(triggered: 0)
    var reasons: [String] = []
    for series in ledgers {
      total.triggered = total.triggered.flatMap { sum in series.triggered.map { sum &+ $0 } }
      total.received &+= series.received
      total.written &+= series.written
      total.lostAtSource &+= series.lostAtSource
      total.skipped &+= series.skipped
      total.merged &+= series.merged
      total.dropped.merge(series.dropped, uniquingKeysWith: &+)
      total.difference = total.difference.addingReportingOverflow(series.difference).partialValue
      if let imbalance = series.imbalance { reasons.append(imbalance) }
    }
    if framesWritten != total.written {
      reasons.append("the account has \(total.written) frames written, the run has \(framesWritten)")
      total.difference += abs(Int64(framesWritten) - Int64(total.written))
      if ledgers.isEmpty {
        total.triggered = nil
        total.written = framesWritten
        total.received = framesWritten
      }
    }
    total.reason = reasons.isEmpty ? nil : reasons.joined(separator: "; ")
    return total
  }

  package var json: JSONValue {
    let ledger = self.ledger
    return [
      "id": .string(id), "name": .string(name), "sample_id": .optional(sampleID), "outcome": .string(outcome.rawValue),
      "reason": .optional(reason), "started": Self.time(startedUnixNanoseconds),
      "ended": Self.time(endedUnixNanoseconds),
      "duration_s": .optional(duration_s), "current_sign": .string(currentSign), "software": .string(software),
      "steps": .array(steps.map(\.json)), "samples": .integer(Int64(samples)), "charge_C": .number(charge_C),
      "frames": [
        "triggered": Self.count(ledger.triggered), "received": Self.count(ledger.received),
        "written": Self.count(ledger.written), "lost_at_source": Self.count(ledger.lostAtSource),
        "skipped": Self.count(ledger.skipped), "merged": Self.count(ledger.merged),
        "dropped": .object(ledger.dropped.mapValues(Self.count)),
      ],
      "cameras": .array(cameras.map { ["id": .integer(Int64($0.id)), "name": .string($0.name)] }),
      "ledger": [
        "balanced": .bool(ledger.isBalanced), "difference": .integer(ledger.difference),
        "reason": .optional(ledger.reason),
        "series": .array(ledgers.map(\.json)),
      ],
      "alignment": [
        "uncertainty_s": .optional(alignment.uncertainty_s),
        "uncertainty_max_s": .optional(alignment.largestUncertainty_s),
        "frames_with_samples": Self.count(alignment.framesWithSamples),
        "devices": .array(alignment.devices.map(\.json)),
      ],
      "gaps": .array(gaps.map(\.json)),
      "notes": .array(notes.map { ["time": Self.time($0.unixNanoseconds), "text": .string($0.text)] }),
      "events": .array(
        events.map {
          ["time": Self.time($0.unixNanoseconds), "kind": .string($0.kind), "message": .string($0.text)]
        }),
      "devices": .array(
        devices.map {
          [
            "kind": .string($0.kind), "model": .string($0.model), "identity": .string($0.identity),
            "connection": .string($0.connection),
          ]
        }),
      "files": .array(files.map { ["path": .string($0.path), "bytes": .integer($0.bytes)] }),
      "directory": .string(directory.path),
    ]
  }

  fileprivate static func time(_ unixNanoseconds: Int64?) -> JSONValue {
    .optional(unixNanoseconds.map { UTCTime.text(unixNanoseconds: $0) })
  }
  fileprivate static func count(_ value: UInt64?) -> JSONValue { .optional(value.map { Int64(clamping: $0) }) }
}

extension RunSummary.Step {
  fileprivate var json: JSONValue {
    [
      "index": .integer(index), "cycle": .integer(cycle), "label": .optional(label), "sentence": .string(sentence),
      "started": RunSummary.time(startedUnixNanoseconds), "ended": RunSummary.time(endedUnixNanoseconds),
      "ended_by": .optional(endedBy), "charge_C": .optional(charge_C), "duration_s": .optional(duration_s),
    ]
  }
}

extension RunSummary.Alignment.Device {
  fileprivate var json: JSONValue {
    [
      "device": .string(device), "rate_ppm": .number(rate_ppm), "bound_s": .number(bound_s), "pairs": .integer(pairs),
      "method": .string(method),
    ]
  }
}

extension SeriesLedger {
  package var json: JSONValue {
    [
      "camera": .integer(Int64(camera)), "series": .integer(Int64(series)),
      "triggered": .optional(triggered.map { Int64($0) }),
      "received": .integer(Int64(clamping: received)), "lost_at_source": .integer(Int64(clamping: lostAtSource)),
      "written": .integer(Int64(clamping: written)), "skipped": .integer(Int64(clamping: skipped)),
      "merged": .integer(Int64(clamping: merged)),
      "dropped": .object(dropped.mapValues { .integer(Int64(clamping: $0)) }), "steps": .array(steps.map(\.json)),
      "balanced": .bool(isBalanced), "difference": .integer(difference), "reason": .optional(imbalance),
    ]
  }
}

extension StepLedger {
  fileprivate var json: JSONValue {
    [
      "step": .optional(step.map { Int64($0) }), "received": .integer(received),
      "lost_at_source": .integer(lostAtSource),
      "written": .integer(written), "skipped": .integer(skipped), "merged": .integer(merged),
      "dropped": .integer(dropped),
    ]
  }
}

extension GapRecord {
  package var json: JSONValue {
    [
      "camera": .integer(Int64(camera)), "series": .integer(Int64(series)), "first": .integer(Int64(first)),
      "last": .integer(Int64(last)),
      "frames": .integer(Int64(frames)), "cause": .string(cause),
    ]
  }
}
