"""The daemon and its operator's tool, on USB devices of this kernel."""

import json
import os
import sqlite3
import subprocess
import time
from pathlib import Path

from checks import Skip, end, expect, run, wait
from kernel_usb import USBTMC, appeared

POTENTIOSTAT, HOLDER = "05e6:2450", "1209:0b10"

CONFIGURATION = """
data: {work}/data
runtime: {work}/runtime
usb: {{bus: libusb}}
potentiostat: {{model: keithley-2450, usb: "05E6:2450"}}
holder:
  model: obh-1
  usb: "1209:0B10"
  contacts: {{working: 1, counter: 2}}
  heartbeat: 2 s
ring: {{frames: 8, largest_frame: 64 x 64}}
storage: {{keep_free: 10 MB}}
"""

PROTOCOL = """
protocol: 1
name: usb-e2e
sample: {{id: nanobattery-A1, area: 1.2 um^2}}
limits:
  voltage: [-0.5 V, 4.5 V]
  current: [-100 pA, 100 pA]
acquire: {{sample: 20 ms, range: 10 nA}}
steps:
  - Rest for 1 s
  - Charge at 2 pA for {charge} s
"""


class Daemon:
    def __init__(self, programs, work, configuration=CONFIGURATION, log=None):
        self.programs = programs
        self.work = work
        self.configuration = work / "insitud.yaml"
        self.configuration.write_text(configuration.format(work=work))
        self.log = log or work / "insitud.log"
        self.process = None
        self.ctl_environment = {**os.environ, "INSITUD_ENDPOINT": f"ipc://{work}/runtime/control"}

    def accepted(self):
        """Skips where this version of the daemon has no libusb yet."""
        done = subprocess.run([self.programs / "insitud", "--check-config", "--config", self.configuration],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=30)
        if "not in this version" in done.stdout:
            raise Skip("this daemon knows no “bus: libusb” yet")
        expect(done.returncode == 0, done.stdout.strip())

    def start(self):
        log = open(self.log, "a")
        self.process = subprocess.Popen([self.programs / "insitud", "--config", self.configuration],
                                        stdin=subprocess.DEVNULL, stderr=log)
        wait("answer of the daemon", self.answers, 30)

    def answers(self):
        expect(self.process.poll() is None, "the daemon has ended; see its log")
        status = self.ctl("status", codes=None)
        return status and "error" not in status

    def ctl(self, *words, codes=(0,), limit=60.0):
        out = run(str(self.programs / "insituctl"), *words, "--json", limit=limit, codes=codes,
                  environment=self.ctl_environment)
        try:
            return json.loads(out)
        except ValueError:
            return None

    def connected(self):
        """The instruments that are connected, by kind."""
        found = self.ctl("devices")["devices"]
        return {device["kind"]: device for device in found if device.get("connected")}

    def both_connected(self, limit=30.0):
        return wait("connection to both instruments", lambda: len(c := self.connected()) >= 2 and c, limit)

    def protocol(self, charge):
        path = self.work / "protocol.yaml"
        path.write_text(PROTOCOL.format(charge=charge))
        return str(path)

    def database(self):
        newest = max((self.work / "data" / "runs").iterdir(), key=lambda p: p.stat().st_mtime)
        return sqlite3.connect(f"file:{newest}/run.sqlite?mode=ro", uri=True)

    def stop(self):
        if self.process:
            end(self.process)
            self.process = None


def measured(daemon, note):
    """Samples of the last run, in the step that charges."""
    with daemon.database() as database:
        rows = database.execute("SELECT voltage_V, current_A FROM sample WHERE step = "
                                "(SELECT max(step) FROM sample)").fetchall()
        expect(len(rows) >= 20, f"only {len(rows)} samples in the last step")
        currents = [row[1] for row in rows if row[1] is not None]
        settled = currents[len(currents) // 2:]
        mean = sum(settled) / len(settled)
        note(f"{len(rows)} samples while charging, {mean * 1e12:.2f} pA, {rows[-1][0]:.3f} V")
        expect(abs(mean - 2e-12) < 1e-12, f"mean current {mean:.3g} A instead of 2 pA")


def completed(daemon, note):
    shown = daemon.ctl("run", "start", daemon.protocol(charge=3), "--follow", codes=None, limit=60)
    outcome = shown and (shown.get("outcome") or shown.get("error"))
    expect(outcome == "complete", f"outcome {outcome}, {shown and shown.get('reason')}")
    measured(daemon, note)


def short_run(check, programs, work, route):
    """Connects, runs a protocol to its end, and leaves the devices to the kernel's driver."""
    daemon = Daemon(programs, work)
    started = False
    with check(f"{route}: the daemon starts, and insituctl status answers"):
        daemon.accepted()
        daemon.start()
        started = True
    if not started:
        return None
    with check(f"{route}: both instruments are connected") as note:
        found = daemon.both_connected()
        note("; ".join(str(device.get("identity")) for device in found.values()))
    with check(f"{route}: the kernel's driver has let go while the daemon runs") as note:
        drivers = [appeared(identity).driver() for identity in (POTENTIOSTAT, HOLDER)]
        note(", ".join(d or "none" for d in drivers))
        expect("usbtmc" not in drivers, "usbtmc still holds an interface")
    with check(f"{route}: a protocol runs to its end with the cell connected") as note:
        completed(daemon, note)
    with check(f"{route}: the daemon ends, and the kernel's driver has the devices back"):
        daemon.stop()
        for identity in (POTENTIOSTAT, HOLDER):
            wait(f"usbtmc at {identity}", lambda i=identity: appeared(i).driver() == "usbtmc", 10)
            with USBTMC(identity) as meter:
                expect(meter.query("*IDN?").count(",") == 3, "wrong answer")
    if daemon.process:
        daemon.process.kill()
    return daemon


def events(truth):
    return [line for line in (truth / "events.csv").read_text().splitlines() if line]


def all_of(check, programs, work, route, unplug, plug, truth):
    daemon = short_run(check, programs, work, route)
    if daemon is None:
        return
    try:
        with check(f"{route}: unplugged while charging: the run is closed as failed, the cell is open") as note:
            daemon.start()
            daemon.both_connected()
            daemon.ctl("run", "start", daemon.protocol(charge=60))
            wait("step of charging", lambda: "Charge" in str((daemon.ctl("status").get("run") or {}).get("sentence")), 30)
            time.sleep(1)
            seen = len(events(truth))
            begin = time.monotonic()
            unplug()
            wait("end of the run", lambda: not daemon.ctl("status").get("run"), 20)
            note(f"run closed after {time.monotonic() - begin:.1f} s")
            shown = daemon.ctl("runs", "show", "last")
            expect(shown["outcome"] == "failed", f"outcome {shown['outcome']}")
            opened = wait("open contacts in the twin's truth",
                          lambda: [e for e in events(truth)[seen:] if "contacts open" in e or "safe" in e], 10)
            note(opened[0].split(",", 1)[1])
            expect(set(daemon.connected()) == {"holder"}, f"connected: {sorted(daemon.connected())}")
        with check(f"{route}: plugged in again: connected without a restart") as note:
            begin = time.monotonic()
            plug()
            daemon.both_connected()
            note(f"{time.monotonic() - begin:.1f} s")
        with check(f"{route}: and the next protocol runs to its end") as note:
            completed(daemon, note)
    finally:
        try:
            daemon.stop()
        except AssertionError as error:
            with check(f"{route}: the daemon ends"):
                raise error
