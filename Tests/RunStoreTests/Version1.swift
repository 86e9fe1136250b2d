/// The tables of a run as version 1 made them; never to be changed.
let schemaOfVersion1 = """
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
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL UNIQUE,  -- potentiostat | holder | camera
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
  CREATE TABLE frame (
    id INTEGER PRIMARY KEY,            -- position in the run, from 0
    series INTEGER NOT NULL,           -- the camera's own, or the next free one where that had been used
    frame_number INTEGER NOT NULL,     -- the camera's own
    device_time_ns INTEGER NOT NULL,   -- start of the exposure, camera's clock
    exposure_ns INTEGER NOT NULL, arrival_raw_ns INTEGER NOT NULL,
    flags INTEGER NOT NULL,            -- 1 repeated, 2 no device time
    step INTEGER,
    segment INTEGER NOT NULL, offset_bytes INTEGER NOT NULL, pixel_crc32c INTEGER NOT NULL
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
  CREATE TABLE gap (
    id INTEGER PRIMARY KEY, series INTEGER NOT NULL, first_frame INTEGER NOT NULL, last_frame INTEGER NOT NULL,
    frames INTEGER NOT NULL, cause TEXT NOT NULL
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
  CREATE TABLE ledger (
    series INTEGER PRIMARY KEY,
    triggered INTEGER,                 -- NULL: the camera never said
    received INTEGER NOT NULL, lost_at_source INTEGER NOT NULL, written INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE ledger_drop (
    series INTEGER NOT NULL, cause TEXT NOT NULL, frames INTEGER NOT NULL, PRIMARY KEY (series, cause)
  ) STRICT;
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
  CREATE VIEW frame_with_values AS
    SELECT f.id AS frame, f.series, f.frame_number, f.step, f.segment, f.offset_bytes, f.exposure_ns,
           v.start_raw_ns, v.stop_raw_ns, v.time_uncertainty_s, v.samples,
           v.voltage_mean_V, v.voltage_min_V, v.voltage_max_V, v.voltage_uncertainty_V,
           v.current_mean_A, v.current_min_A, v.current_max_A, v.current_uncertainty_A,
           v.charge_C, v.charge_uncertainty_C, v.dose_e_per_A2, v.dose_uncertainty_e_per_A2
    FROM frame f LEFT JOIN frame_value v ON v.frame = f.id ORDER BY f.id;
  """
