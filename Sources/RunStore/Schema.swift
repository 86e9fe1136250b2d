/// The tables of a run, and of the catalog of runs. The unit ends every column's name; nanoseconds are integers;
/// `…_raw_ns` is `CLOCK_MONOTONIC_RAW` of the host, `…_unix_ns` is wall time since 1970.
package enum Schema {
  /// `PRAGMA user_version` of what `run` makes, and of what `catalog` makes.
  package static let version: Int64 = 2
  package static let catalogVersion: Int64 = 1

  package static let catalog = """
    CREATE TABLE run (
      id TEXT PRIMARY KEY,               -- ULID: sorts by time
      name TEXT NOT NULL,
      sample_id TEXT,
      directory TEXT NOT NULL,           -- below the data directory
      outcome TEXT NOT NULL,             -- running | complete | tripped | stopped | interrupted | failed
      reason TEXT,
      started_unix_ns INTEGER NOT NULL,
      ended_unix_ns INTEGER,
      samples INTEGER NOT NULL DEFAULT 0,
      frames_written INTEGER NOT NULL DEFAULT 0,
      size_bytes INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    """

  package static let run = """
    CREATE TABLE run (
      id TEXT PRIMARY KEY, name TEXT NOT NULL, sample_id TEXT,
      protocol_text TEXT NOT NULL,       -- as the operator wrote it
      protocol_json TEXT NOT NULL,       -- as it was compiled
      outcome TEXT NOT NULL, reason TEXT,
      started_raw_ns INTEGER NOT NULL, started_unix_ns INTEGER NOT NULL,
      ended_raw_ns INTEGER, ended_unix_ns INTEGER,
      charge_C REAL NOT NULL DEFAULT 0,  -- integral of the measured current
      current_sign TEXT NOT NULL DEFAULT 'positive current charges the working electrode (anodic)',
      software TEXT NOT NULL, host TEXT NOT NULL
    ) STRICT;
    CREATE TABLE device (
      id INTEGER PRIMARY KEY, kind TEXT NOT NULL UNIQUE,  -- potentiostat | holder | the name of a camera
      model TEXT NOT NULL, identity TEXT NOT NULL, connection TEXT NOT NULL, details_json TEXT NOT NULL DEFAULT '{}'
    ) STRICT;
    CREATE TABLE step (
      id INTEGER PRIMARY KEY,            -- index in the expanded protocol, from 0
      cycle INTEGER NOT NULL, label TEXT, sentence TEXT NOT NULL, line INTEGER NOT NULL,
      started_raw_ns INTEGER NOT NULL, ended_raw_ns INTEGER, ended_by TEXT, charge_C REAL
    ) STRICT;
    CREATE TABLE sample (
      id INTEGER PRIMARY KEY,
      device_time_ns INTEGER NOT NULL,   -- centre of the aperture, instrument's clock
      arrival_raw_ns INTEGER NOT NULL,
      voltage_V REAL, current_A REAL,    -- NULL: the instrument gave none (overflow, open circuit)
      range_A REAL NOT NULL, aperture_ns INTEGER NOT NULL,
      flags INTEGER NOT NULL,            -- 1 compliance, 2 overflow, 4 settling, 8 output off, 16 first after a hole,
                                         -- 32 sample period not kept, 64 underload, 128 near the end of the range,
                                         -- 256 open circuit: none flows; bits 28-31 the instrument's noise level, 0-15
      step INTEGER NOT NULL,
      charge_C REAL NOT NULL             -- charge moved since the start of the run
    ) STRICT;
    CREATE TABLE reading (
      id INTEGER PRIMARY KEY, raw_ns INTEGER NOT NULL, device TEXT NOT NULL,
      quantity TEXT NOT NULL, value REAL, unit TEXT NOT NULL
    ) STRICT;
    \(cameraTable)
    CREATE TABLE frame (
      id INTEGER PRIMARY KEY,            -- position among the frames of its camera, from 0, + camera × 2^40
      camera INTEGER NOT NULL DEFAULT 0,
      series INTEGER NOT NULL,           -- the camera's own, or the next free one where that had been used
      frame_number INTEGER NOT NULL,     -- the camera's own
      device_time_ns INTEGER NOT NULL,   -- start of the exposure, camera's clock
      exposure_ns INTEGER NOT NULL, arrival_raw_ns INTEGER NOT NULL,
      flags INTEGER NOT NULL,            -- 1 repeated, 2 no device time, 16 binned preview, 32 kept by look-back;
                                         -- bits 16-31: frames in this sum, less one
      step INTEGER,
      segment INTEGER NOT NULL, offset_bytes INTEGER NOT NULL, pixel_crc32c INTEGER NOT NULL,
      stored_bytes INTEGER,              -- NULL: those of its pixels
      encoding INTEGER NOT NULL DEFAULT 0  -- 0 raw, 1 bslz4, 2 bszstd, 3 bsgaps
    ) STRICT;
    CREATE TABLE frame_value (
      frame INTEGER PRIMARY KEY REFERENCES frame(id),
      start_raw_ns INTEGER NOT NULL, stop_raw_ns INTEGER NOT NULL,
      time_uncertainty_s REAL NOT NULL,  -- standard uncertainty of the alignment of frame and sample
      samples INTEGER NOT NULL,          -- samples whose aperture touches the exposure; 0: values are interpolated
      voltage_mean_V REAL, voltage_min_V REAL, voltage_max_V REAL, voltage_uncertainty_V REAL,
      current_mean_A REAL, current_min_A REAL, current_max_A REAL, current_uncertainty_A REAL,
      charge_C REAL, charge_uncertainty_C REAL,
      dose_e_per_A2 REAL,                -- dose rate × time from the run's start to stop_raw_ns: the beam is always on
      dose_uncertainty_e_per_A2 REAL
    ) STRICT;
    \(statisticsTable)
    CREATE TABLE gap (
      id INTEGER PRIMARY KEY, series INTEGER NOT NULL, first_frame INTEGER NOT NULL, last_frame INTEGER NOT NULL,
      frames INTEGER NOT NULL, cause TEXT NOT NULL, camera INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE event (
      id INTEGER PRIMARY KEY, raw_ns INTEGER NOT NULL, unix_ns INTEGER NOT NULL,
      kind TEXT NOT NULL, message TEXT NOT NULL, details_json TEXT
    ) STRICT;
    CREATE TABLE note (
      id INTEGER PRIMARY KEY, raw_ns INTEGER NOT NULL, unix_ns INTEGER NOT NULL, text TEXT NOT NULL
    ) STRICT;
    CREATE TABLE clock_pair (
      id INTEGER PRIMARY KEY, device TEXT NOT NULL, device_time_ns INTEGER NOT NULL,
      earliest_raw_ns INTEGER, latest_raw_ns INTEGER
    ) STRICT;
    CREATE TABLE clock_model (
      device TEXT NOT NULL, segment INTEGER NOT NULL,
      from_device_ns INTEGER NOT NULL, to_device_ns INTEGER NOT NULL,
      reference_device_ns INTEGER NOT NULL, reference_raw_ns INTEGER NOT NULL,
      rate REAL NOT NULL,                -- host ns per device ns
      bound_from_s REAL NOT NULL, bound_reference_s REAL NOT NULL, bound_to_s REAL NOT NULL,
      residual_rms_s REAL NOT NULL, pairs INTEGER NOT NULL, method TEXT NOT NULL,
      PRIMARY KEY (device, segment)
    ) STRICT;
    CREATE TABLE host_clock (
      raw_ns INTEGER PRIMARY KEY, monotonic_ns INTEGER NOT NULL, unix_ns INTEGER NOT NULL
    ) STRICT;
    \(ledgerTables)
    CREATE INDEX sample_arrival ON sample (arrival_raw_ns);

    CREATE VIEW bdf AS
      SELECT (s.device_time_ns - (SELECT min(device_time_ns) FROM sample)) / 1e9 AS test_time_second,
             s.voltage_V AS voltage_volt,
             -- at a rest with the circuit open none flows, and some instruments measure none
             CASE WHEN s.flags & 258 = 256 THEN coalesce(s.current_A, 0) ELSE s.current_A END AS current_ampere,
             -- by the instrument's clock, from the arrival of the first sample on
             (r.started_unix_ns + ((SELECT arrival_raw_ns FROM sample ORDER BY id LIMIT 1) - r.started_raw_ns)
              + (s.device_time_ns - (SELECT min(device_time_ns) FROM sample))) / 1e9 AS unix_time_second,
             coalesce(p.cycle, 0) AS cycle_count, s.step AS step_count
      FROM sample s JOIN run r LEFT JOIN step p ON p.id = s.step
      WHERE s.voltage_V IS NOT NULL AND (s.current_A IS NOT NULL OR s.flags & 258 = 256)
      ORDER BY s.id;
    \(frameView)
    """

  /// Which cameras took part; their ids are in `frame.camera` and elsewhere.
  private static let cameraTable = """
    CREATE TABLE camera (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    """

  /// What the pass over the pixels counted, for frames whose camera's thread measured it.
  private static let statisticsTable = """
    CREATE TABLE frame_statistics (
      frame INTEGER PRIMARY KEY REFERENCES frame(id),
      sum_counts INTEGER NOT NULL, mean_counts REAL NOT NULL,  -- of the pixels as they are stored
      minimum_counts INTEGER NOT NULL, maximum_counts INTEGER NOT NULL,
      saturated_pixels INTEGER NOT NULL,
      change_counts REAL,                -- against the running reference; NULL: there was none yet
      region_means_json TEXT,            -- counts per pixel in each configured region, in their order
      counted_e_per_A2 REAL,             -- electrons that this frame counted; NULL: the camera is not calibrated
      counted_uncertainty_e_per_A2 REAL
    ) STRICT;
    """

  private static let ledgerTables = """
    CREATE TABLE ledger (
      camera INTEGER NOT NULL DEFAULT 0, series INTEGER NOT NULL,
      triggered INTEGER,                 -- NULL: the camera never said
      received INTEGER NOT NULL, lost_at_source INTEGER NOT NULL, written INTEGER NOT NULL,
      skipped INTEGER NOT NULL DEFAULT 0,  -- received and left out by choice
      merged INTEGER NOT NULL DEFAULT 0,   -- received and in a sum, beyond the one frame that the sum is
      PRIMARY KEY (camera, series)
    ) STRICT;
    CREATE TABLE ledger_drop (
      camera INTEGER NOT NULL DEFAULT 0, series INTEGER NOT NULL, cause TEXT NOT NULL, frames INTEGER NOT NULL,
      PRIMARY KEY (camera, series, cause)
    ) STRICT;
    CREATE TABLE ledger_step (           -- the same accounts by step; -1: no step asked for these frames
      camera INTEGER NOT NULL, series INTEGER NOT NULL, step INTEGER NOT NULL,
      received INTEGER NOT NULL, lost_at_source INTEGER NOT NULL,  -- lost before the next frame that came
      written INTEGER NOT NULL, skipped INTEGER NOT NULL, merged INTEGER NOT NULL, dropped INTEGER NOT NULL,
      PRIMARY KEY (camera, series, step)
    ) STRICT;
    CREATE TABLE choice (                -- frames that are not there on purpose, and how many of first_frame … last_frame
      id INTEGER PRIMARY KEY, camera INTEGER NOT NULL, series INTEGER NOT NULL,
      first_frame INTEGER NOT NULL, last_frame INTEGER NOT NULL,
      skipped INTEGER NOT NULL,          -- not wanted; below 0: kept afterwards by looking back
      merged INTEGER NOT NULL,           -- in a sum
      dropped INTEGER NOT NULL,          -- given up for others
      rule TEXT NOT NULL                 -- what was wanted, in words
    ) STRICT;
    """

  private static let frameView = """
    CREATE VIEW frame_with_values AS
      SELECT f.id AS frame, f.camera, f.series, f.frame_number, f.step, f.segment, f.offset_bytes, f.exposure_ns,
             v.start_raw_ns, v.stop_raw_ns, v.time_uncertainty_s, v.samples,
             v.voltage_mean_V, v.voltage_min_V, v.voltage_max_V, v.voltage_uncertainty_V,
             v.current_mean_A, v.current_min_A, v.current_max_A, v.current_uncertainty_A,
             v.charge_C, v.charge_uncertainty_C, v.dose_e_per_A2, v.dose_uncertainty_e_per_A2,
             s.mean_counts, s.minimum_counts, s.maximum_counts, s.saturated_pixels, s.change_counts,
             s.counted_e_per_A2, s.counted_uncertainty_e_per_A2
      FROM frame f LEFT JOIN frame_value v ON v.frame = f.id LEFT JOIN frame_statistics s ON s.frame = f.id
      ORDER BY f.id;
    """

  /// Brings a run of version 1, which had one camera and wrote every frame, to the tables of today.
  package static let fromVersion1 = """
    \(cameraTable)
    INSERT INTO camera VALUES (0, 'camera');
    ALTER TABLE frame ADD COLUMN camera INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE frame ADD COLUMN stored_bytes INTEGER;
    ALTER TABLE frame ADD COLUMN encoding INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE gap ADD COLUMN camera INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE ledger RENAME TO ledger_1;
    ALTER TABLE ledger_drop RENAME TO ledger_drop_1;
    \(ledgerTables)
    INSERT INTO ledger (series, triggered, received, lost_at_source, written)
      SELECT series, triggered, received, lost_at_source, written FROM ledger_1;
    INSERT INTO ledger_drop (series, cause, frames) SELECT series, cause, frames FROM ledger_drop_1;
    DROP TABLE ledger_1;
    DROP TABLE ledger_drop_1;
    \(statisticsTable)
    DROP VIEW frame_with_values;
    \(frameView)
    """
}
