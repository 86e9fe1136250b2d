"""Every other family of instrument, by USB/IP: first the kernel's own driver, then the daemon."""

import termios
import time
from dataclasses import dataclass
from pathlib import Path

import usbip
from checks import end, expect, run, wait
from daemon_checks import Daemon
from kernel_tty import TTY, node_of
from kernel_usb import USBTMC, appeared, find, gone, text

HOLDER = "1209:0b10"

# Half charged and so large that the cable's charge and the run leave it on its plateau.
TWIN = """
twin:
  seed: 1
  cell: {{capacity: 600 pC, state_of_charge: 0.5, plateau: {plateau}}}
  potentiostat: {{model: {model}}}
"""

CONFIGURATION = """
data: {{work}}/data
runtime: {{work}}/runtime
usb: {{{{bus: libusb}}}}
potentiostat: {{{{model: {model}, usb: "{usb}"}}}}
holder:
  model: obh-1
  usb: "1209:0B10"
  contacts: {{{{working: 1, counter: 2}}}}
  heartbeat: 2 s
ring: {{{{frames: 8, largest_frame: 64 x 64}}}}
storage: {{{{keep_free: 10 MB}}}}
"""

PROTOCOL = """
protocol: 1
name: usb-e2e {model}
sample: {{id: nanobattery-A1, area: 1.2 um^2}}
limits: {{voltage: [-0.5 V, {highest}], current: [-{most}, {most}]}}
acquire: {{sample: {period} ms, range: {range}}}
steps:
  - Rest for 1 s
"""


@dataclass
class Family:
    model: str
    identity: str
    driver: str
    # In the kernel driver's answer, and in the identity that the daemon tells.
    says: str
    is_: str
    range: str
    # Volts held, at most 60 mV from the cell's 3.72 V or 1.00 V.
    hold: float
    period: int = 50
    charges: bool = True
    most: str = "200 pA"
    highest: str = "4.5 V"
    plateau: str = "3.62 V"
    by_serial: bool = False
    speed: int = 0

    def kernel_answer(self):
        if self.driver == "usbtmc":
            with USBTMC(self.identity) as meter:
                return meter.query("*IDN?")
        with TTY(self.identity, self.speed) as line:
            expect(line.dtr(), f"DTR is not set at {line.node}")
            return f"{line.query('t', last='R*')[0]} at {line.node}"

    def node(self):
        """The kernel driver's device file."""
        if self.driver == "usbtmc":
            found = find(self.identity)
            node = found and found.driver() == "usbtmc" and found.node()
            return node and node.exists() and str(node)
        return node_of(self.identity)

    def protocol(self):
        steps = ["Charge at 2 pA for 2 s"] if self.charges else []
        steps.append(f"Hold at {self.hold} V for 2 s")
        return PROTOCOL.format(**vars(self)) + "".join(f"  - {step}\n" for step in steps)


FAMILIES = [
    Family("keithley-2636b", "05e6:2636", "usbtmc", "2636B", "2636B", "1 nA", 3.75),
    Family("keysight-b2912a", "0957:8e18", "usbtmc", "B2912A", "B2912A", "10 nA", 3.75, by_serial=True),
    Family("keysight-b2985a", "0957:9218", "usbtmc", "B2985A", "B2985A", "2 nA", 3.75, charges=False, by_serial=True),
    Family("nexus", "300a:0009", "cdc_acm", "nexus", "Nexus", "100 pA", 3.75, speed=termios.B921600),
    Family("emstat-pico", "0403:6015", "ftdi_sio", "espico", "EmStat Pico", "60 nA", 1.05, charges=False,
           most="20 nA", highest="1.6 V", plateau="0.9 V", speed=termios.B230400),
]


def all_of(check, programs, work, wanted):
    """All models, or those that are wanted."""
    print("B: the other families of instruments, by USB/IP", flush=True)
    unknown = set(wanted) - {family.model for family in FAMILIES}
    if unknown:
        with check("B: the models asked for are known"):
            raise AssertionError(f"not {', '.join(sorted(unknown))}; there are {', '.join(f.model for f in FAMILIES)}")
    for family in [family for family in FAMILIES if not wanted or family.model in wanted]:
        place = work / family.model
        place.mkdir()
        configuration = place / "twin.yaml"
        configuration.write_text(TWIN.format(**vars(family)))
        twin = usbip.start_twin(programs, configuration, place / "truth", work / f"{family.model}-twin.log")
        try:
            one(check, programs, work, place, family)
            with check(f"B: {family.model} is gone with its server"):
                end(twin)
                gone(family.identity)
                gone(HOLDER)
        finally:
            if twin.poll() is None:
                twin.kill()
                twin.wait()


def one(check, programs, work, place, family):
    name = f"B: {family.model}"
    is_there = False
    with check(f"{name} is attached, and the kernel's {family.driver} takes it") as note:
        wait("USB/IP server", usbip.listening, 20)
        usbip.attach("1-1")
        usbip.attach("1-2")
        device = appeared(family.identity)
        note(f"{wait(f'file of {family.driver}', family.node, 10)}")
        expect(device.driver() == family.driver, f"its driver is {device.driver() or 'none'}")
        usb = Path(f"/dev/bus/usb/{int(text(device.path / 'busnum')):03}/{int(text(device.path / 'devnum')):03}")
        wait(f"group insitud at {usb}", lambda: usb.stat().st_gid == 4077, 10)
        is_there = True
    if not is_there:
        return
    print(f"          {device}", flush=True)
    with check(f"{name} tells the kernel's {family.driver} what it is") as note:
        answer = family.kernel_answer()
        note(answer)
        expect(family.says in answer, f"“{family.says}” is not in it")
    if family.driver == "ftdi_sio":
        ftdi(check, family)
    daemon_run(check, programs, work, place, family, device.serial)


def ftdi(check, family):
    with check(f"B: {family.model}: ftdi_sio knows the chip, and complains of nothing") as note:
        lines = [line.split("] ", 1)[-1] for line in run("dmesg").splitlines()]
        lines = [line for line in lines if line.startswith(("ftdi_sio ", "ftdi_sio: ")) or "FT-X" in line
                 or "converter now" in line]
        note("; ".join(lines))
        expect(any("FT-X" in line or "FT230X" in line for line in lines), f"the kernel tells no FT-X: {lines}")
        wrong = [line for line in lines if "fail" in line.lower() or "error" in line.lower() or "unable" in line.lower()]
        expect(not wrong, "; ".join(wrong))
    with check(f"B: {family.model}: ftdi_sio reads and sets the latency timer") as note:
        port = Path(family.node()).name
        timer = Path(f"/sys/bus/usb-serial/devices/{port}/latency_timer")
        found = timer.read_text().strip()
        timer.write_text("1")
        expect(found == "16" and timer.read_text().strip() == "1", f"{found}, then {timer.read_text().strip()}")
        answers = []
        for milliseconds in (1, 100):
            timer.write_text(str(milliseconds))
            with TTY(family.identity, family.speed) as line:
                line.query("t", last="R*")
                begin = time.monotonic()
                for _ in range(5):
                    line.query("t", last="R*")
                answers.append((time.monotonic() - begin) / 5 * 1000)
        timer.write_text("16")
        note(f"16 ms at first; an answer takes {answers[0]:.0f} ms at 1 ms, {answers[1]:.0f} ms at 100 ms")
        expect(answers[1] > answers[0] + 20, "the timer does not delay the answer")


def daemon_run(check, programs, work, place, family, serial):
    name = f"B: {family.model}"
    # The holder is a USBTMC device as well: where product numbers differ in the field the serial number decides.
    usb = f"any:{serial}" if family.by_serial else family.identity.upper()
    daemon = Daemon(programs, place, CONFIGURATION.format(model=family.model, usb=usb),
                    log=work / f"{family.model}-insitud.log")
    try:
        is_connected = False
        with check(f"{name}: the daemon takes it from {family.driver} and knows it") as note:
            daemon.accepted()
            daemon.start()
            found = daemon.both_connected()["potentiostat"]
            note(str(found.get("identity")))
            expect(family.is_ in str(found.get("identity")), f"“{family.is_}” is not in it")
            held = appeared(family.identity).driver()
            expect(held != family.driver and not family.node(), f"{family.driver} still has it ({family.node()})")
            is_connected = True
        if is_connected:
            with check(f"{name}: a protocol runs to its end") as note:
                completed(daemon, family, note)
        with check(f"{name}: the daemon ends, and {family.driver} has it back") as note:
            daemon.stop()
            note(wait(f"file of {family.driver}", family.node, 10))
            expect(family.says in family.kernel_answer(), "wrong answer afterwards")
    finally:
        if daemon.process:
            daemon.process.kill()


def completed(daemon, family, note):
    path = daemon.work / "protocol.yaml"
    path.write_text(family.protocol())
    shown = daemon.ctl("run", "start", str(path), "--follow", codes=None, limit=60)
    outcome = shown and (shown.get("outcome") or shown.get("error"))
    expect(outcome == "complete", f"outcome {outcome}, {shown and shown.get('reason')}")
    with daemon.database() as database:
        rows = database.execute("SELECT step, voltage_V, current_A FROM sample").fetchall()
    last = max(row[0] for row in rows)
    held = [row for row in rows if row[0] == last]
    expect(len(held) >= 20, f"only {len(held)} samples of the hold")
    volts, amperes = held[-1][1], mean(held)
    if family.charges:
        charge = mean([row for row in rows if row[0] == last - 1])
        note(f"{charge * 1e12:.2f} pA while charging")
        expect(abs(charge - 2e-12) < 1e-12, f"{charge:.3g} A instead of 2 pA")
    note(f"{volts:.3f} V and {amperes * 1e12:.1f} pA while holding, {len(held)} samples")
    expect(abs(volts - family.hold) < 0.02, f"{volts:.3f} V instead of {family.hold} V")
    expect(abs(amperes) < 200e-12, f"{amperes:.3g} A through a cell that is at most 60 mV away")


def mean(rows):
    """The current of the second half, where the instrument has settled."""
    currents = [row[2] for row in rows if row[2] is not None]
    settled = currents[len(currents) // 2:]
    expect(settled, "no currents were read")
    return sum(settled) / len(settled)
