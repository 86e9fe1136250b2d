"""Speaks MethodSCRIPT with an instrument on a serial port through the public client labmcp-palmsens.

Prints what it finds, one fact per line, tab-separated; the decoded values beside the lines they came from.
"""

import sys
import threading
import time

from labmcp.transports import open_transport
from labmcp_palmsens.driver import MethodScriptDevice, build_script, parse_package

port, mode, bandwidth = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
transport = open_transport(
    f"serial://{port}", baudrate=230400, read_termination="\n", write_termination="\n", timeout=2.0)
device = MethodScriptDevice(transport)
found = device.identify()
print("identity", found["model"], found["firmware"], found["serial"], sep="\t")


def technique(line):
    return build_script(
        line, begin_potential_v=0.5, e_min=-0.5, e_max=1.5, pgstat_mode=mode, bandwidth_hz=bandwidth,
        current_range_a=100e-9, autorange=True, equilibration_s=0.05, with_timer=True)


for name, line in [
    ("ca", "meas_loop_ca p c 500m 50m 500m"),
    ("lsv", "meas_loop_lsv p c 500m 700m 20m 500m"),
    ("cv", "meas_loop_cv p c 500m 600m 400m 20m 500m"),
]:
    result = device.execute(technique(line), timeout_s=20)
    print("script", name, len(result.packets), result.error or "", len(result.malformed), sep="\t")
    for raw in result.lines:
        if raw.startswith("P"):
            values = (f"{v.type}={v.value!r}={v.status}={-1 if v.range is None else v.range}" for v in parse_package(raw))
            print("package", raw, *values, sep="\t")

try:
    device.execute(["var p", "wrong_command"], timeout_s=5)
except Exception as error:
    print("rejected", str(error).replace("\t", " "), sep="\t")

result = device.execute(["var p", "set_pgstat_mode 2", "set_e 500m", "cell_on", "meas_loop_ocp p 100m 1", "endloop"], timeout_s=5)
print("runtime", result.error, result.cell_off_sent, sep="\t")

runner = threading.Thread(target=lambda: device.execute(technique("meas_loop_ca p c 500m 50m 60"), timeout_s=70))
runner.start()
time.sleep(0.6)
outcome = device.abort()
runner.join(10)
print("abort", outcome["was_running"], outcome["stopped"], outcome["note"], sep="\t")
device.close()
