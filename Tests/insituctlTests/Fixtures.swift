import JSON

/// Results of the daemon as docs/control-protocol.md describes them.
enum Fixtures {
  static func status(
    run: String? = "01JRUN", step: Int64 = 2, outcome: JSONValue = "running", elapsed: Double = 30
  ) -> JSONValue {
    let run: JSONValue =
      run.map { id in
        [
          "id": .string(id), "name": "2 pA formation", "outcome": outcome, "step_index": .integer(step),
          "step_count": 14, "sentence": "Charge at 2 pA for 1 h or until 4.2 V", "cycle": 1, "step_elapsed_s": 12.4,
          "step_bound_s": 3600, "elapsed_s": .number(elapsed), "planned_s": 60, "charge_C": 24.8e-12,
          "frames": [
            "triggered": 4010, "received": 4007, "written": 4005, "lost_at_source": 3, "dropped": ["ring_full": 2],
          ], "samples": 1240,
        ]
      } ?? .null
    return [
      "state": run.isNull ? "idle" : "running", "run": run,
      "instruments": [
        ["kind": "potentiostat", "model": "keithley-2450", "connected": true, "error": .null, "state": "measuring"],
        ["kind": "camera", "model": "shm", "connected": false, "error": "nobody listens", "state": "lost"],
      ],
      "voltage_V": 3.71234, "current_A": 2.004e-12, "frames_per_second": 399.96,
      "ring": ["slots": 400, "filled": 12], "lost_frames": 5,
      "cameras": [["name": "camera", "frames_per_second": 400, "ring": ["slots": 400, "filled": 12]]],
      "disk": ["free_bytes": 120_000_000_000, "seconds_left": 143.0], "holder": ["state": "armed"],
      "uptime_s": 180.0, "software": "insitud 0.1.0",
    ]
  }

  static func run(outcome: String = "complete") -> JSONValue {
    [
      "id": "01JRUN", "name": "2 pA formation", "outcome": .string(outcome), "reason": .null,
      "started": "2026-03-01T12:00:00.000Z", "ended": "2026-03-01T12:01:03.500Z",
      "steps": [
        [
          "index": 0, "cycle": 0, "sentence": "Rest for 10 s", "line": 9, "charge_C": 1e-15, "ended_by": "time",
        ]
      ],
      "frames": [
        "triggered": 4010, "received": 4007, "written": 4005, "lost_at_source": 3, "dropped": ["ring_full": 2],
      ],
      "samples": 6000, "charge_C": 98.3e-12, "ledger": ["balanced": true], "alignment": ["uncertainty_s": 85e-6],
      "files": [
        ["path": "/data/runs/01JRUN-2-pA-formation/run.sqlite", "bytes": 512_000],
        ["path": "/data/runs/01JRUN-2-pA-formation/frames-0000.mrc", "bytes": 8_403_554_304],
      ],
      "directory": "/data/runs/01JRUN-2-pA-formation",
    ]
  }
}
