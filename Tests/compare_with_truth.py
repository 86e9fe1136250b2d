"""Compares what a run says of its frames with what the twin knows. Usage: compare_with_truth.py RUN_DIRECTORY TRUTH_DIRECTORY

Prints, for time, voltage and current, the share of frames whose stated uncertainty covers the truth. Exit status 1 when
fewer than 90 % are within two standard uncertainties.
"""
import csv
import sqlite3
import sys

run, truth_directory = sys.argv[1:3]
truth = {}
with open(truth_directory + "/frames.csv") as file:
    for row in csv.DictReader(file):
        truth[int(row["series"]), int(row["frame_number"])] = row

db = sqlite3.connect(f"file:{run}/run.sqlite?mode=ro", uri=True)
db.row_factory = sqlite3.Row
frames = db.execute("""SELECT f.series, f.frame_number, v.* FROM frame f JOIN frame_value v ON v.frame = f.id
                       WHERE v.current_mean_A IS NOT NULL""").fetchall()
if not frames:
    sys.exit("no frames with values")

failed = False
for name, column, uncertainty, known in [
    ("start (s)", "start_raw_ns", "time_uncertainty_s", "start_raw_ns"),
    ("voltage (V)", "voltage_mean_V", "voltage_uncertainty_V", "voltage_mean_V"),
    ("current (A)", "current_mean_A", "current_uncertainty_A", "current_mean_A"),
]:
    within1 = within2 = 0
    worst = total = 0.0
    for frame in frames:
        row = truth[frame["series"], frame["frame_number"]]
        scale = 1e-9 if column.endswith("_ns") else 1.0
        error = abs(frame[column] - float(row[known])) * scale
        within1 += error <= frame[uncertainty]
        within2 += error <= 2 * frame[uncertainty]
        worst = max(worst, error)
        total += frame[uncertainty]
    share = within2 / len(frames)
    failed |= share < 0.90
    print(f"{name:12} {len(frames)} frames, mean stated u {total / len(frames):.3g}, worst error {worst:.3g}, "
          f"within u {within1 / len(frames):.1%}, within 2u {share:.1%}")
sys.exit(1 if failed else 0)
