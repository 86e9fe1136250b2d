"""What is checked inside the virtual machine, as its root: guest.py PROGRAMS."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import daemon_checks
import families
from checks import Checks, end, expect, run, wait
from kernel_usb import DEVICES, Device, USBTMC, appeared, gone, text
from usbip import attach, detach, listening, start_twin

HERE = Path(__file__).resolve().parent
PROGRAMS = Path(sys.argv[1])
POTENTIOSTAT, HOLDER = "05e6:2450", "1209:0b10"
WORK = Path("/run/usb-e2e")

TWIN = f"""
twin:
  seed: 1
  cell: {{capacity: 60 pC}}
"""

check = Checks()


def listing():
    for vendor in sorted(DEVICES.glob("*/idVendor")):
        device = Device(vendor.parent)
        if device.identity not in ("1d6b:0001", "1d6b:0002", "1d6b:0003"):
            print(f"          {device}")


def start_udev():
    """udev tells programs about devices, and sets the permissions of the project's rules."""
    rules = Path("/run/udev/rules.d")
    rules.mkdir(parents=True)
    sources = sorted((HERE.parent.parent / "systemd").glob("*.rules"))
    expect(sources, "there are no rules in systemd/")
    for source in sources:
        (rules / source.name).write_bytes(source.read_bytes())
    if "insitud:" not in Path("/etc/group").read_text():
        with open("/etc/group", "a") as file:
            file.write("insitud:x:4077:\n")
    subprocess.run(["/lib/systemd/systemd-udevd", "--daemon"], check=True, stdin=subprocess.DEVNULL)


def queries_per_second(meter, count=50):
    begin = time.monotonic()
    for _ in range(count):
        meter.query("*IDN?")
    return (time.monotonic() - begin) / count * 1000


def kernel_checks(route):
    """The kernel's own usbtmc against both instruments, however they are attached."""
    for identity, name in [(POTENTIOSTAT, "KEITHLEY"), (HOLDER, "OBH-1")]:
        with check(f"{route}: the kernel's usbtmc asks {identity} *IDN?") as note:
            with USBTMC(identity) as meter:
                answer = meter.query("*IDN?")
                expect(name in answer.upper() and answer.count(",") == 3, f"answer {answer!r}")
                note(answer)
                note(f"{queries_per_second(meter):.1f} ms a query")
        with check(f"{route}: READ_STATUS_BYTE of {identity}") as note:
            with USBTMC(identity) as meter:
                meter.query("*CLS;*IDN?")
                expect(meter.status() & 0x10 == 0, "a message is said to be available before a question")
                meter.write("*IDN?")
                wait("message available in the status byte", lambda: meter.status() & 0x10, 5)
                expect(meter.read().count(b",") == 3, "the answer is not the one asked for")
                note(f"capabilities {meter.capabilities():#04x}")
        with check(f"{route}: a read without a question times out, and CLEAR makes {identity} answer again") as note:
            with USBTMC(identity) as meter:
                note(f"{meter.times_out(300) * 1000:.0f} ms")
                meter.clear()
                expect(name in meter.query("*IDN?").upper(), "the answer after the clear is wrong")
        with check(f"{route}: CLEAR drops the answer that nobody read from {identity}"):
            with USBTMC(identity) as meter:
                meter.write("*OPC?")
                meter.clear()
                expect(name in meter.query("*IDN?").upper(), "the answer after the clear is an old one")
        with check(f"{route}: {identity} asks for service on its interrupt endpoint") as note:
            with USBTMC(identity) as meter:
                meter.write("*CLS")
                meter.write("*ESE 32")
                meter.write("*SRE 32")
                expect(not meter.wants_service(0.2), "service is asked for without a reason")
                meter.write("NONSENSE:COMMAND")
                expect(meter.wants_service(3), "no service request after a wrong command")
                note(f"status byte {meter.status():#04x}")
                meter.write("*SRE 0")
                meter.write("*CLS")


def long_answer(route):
    with check(f"{route}: an answer of many packets arrives whole") as note:
        with USBTMC(POTENTIOSTAT) as meter:
            question = ";:".join(["*IDN?"] * 60).replace(";:", ";")
            answer = meter.query(question)
            expect(answer.count("MODEL") == 60 or answer.count(";") == 59, f"{len(answer)} bytes, {answer[:60]!r}")
            note(f"{len(answer)} bytes")


def route_b(configuration):
    print("B: USB/IP, attached to the kernel by vhci_hcd", flush=True)
    twin = start_twin(PROGRAMS, configuration, WORK / "truth", WORK / "twin.log")
    try:
        with check("B: the twin listens on loopback"):
            wait("USB/IP server", listening, 20)
        with check("B: usbip list shows both instruments"):
            shown = run("usbip", "list", "-r", "127.0.0.1")
            expect(POTENTIOSTAT in shown and HOLDER in shown, shown)
        with check("B: usbip attach; the kernel enumerates both") as note:
            begin = time.monotonic()
            attach("1-1")
            attach("1-2")
            for identity in [POTENTIOSTAT, HOLDER]:
                device = appeared(identity)
                wait("usbtmc", lambda d=device: d.driver() == "usbtmc", 10)
                expect(device.serial, f"{identity} has no serial number")
            note(f"{time.monotonic() - begin:.1f} s")
        listing()
        with check("udev gives the devices to the group insitud"):
            for identity in [POTENTIOSTAT, HOLDER]:
                device = appeared(identity)
                node = Path(f"/dev/bus/usb/{int(text(device.path / 'busnum')):03}/{int(text(device.path / 'devnum')):03}")
                wait(f"group insitud at {node}", lambda n=node: n.exists() and n.stat().st_gid == 4077, 10)
                expect(node.stat().st_mode & 0o777 == 0o660, f"{node} has mode {node.stat().st_mode & 0o777:o}")
        kernel_checks("B")
        long_answer("B")
        with check("B: usbip detach while a program waits for an answer") as note:
            with USBTMC(HOLDER) as meter:
                # The kernel's driver lets go only when its read has ended, by its own limit.
                meter.timeout(1000)
                outcome = []

                def reader():
                    try:
                        meter.read()
                        outcome.append("an answer")
                    except OSError as error:
                        outcome.append(error.strerror)
                thread = threading.Thread(target=reader)
                thread.start()
                time.sleep(0.5)
                detach(HOLDER)
                thread.join(5)
                expect(outcome and outcome[0] != "an answer", f"the waiting read ended with {outcome}")
                note(outcome[0])
        with check("B: attached again, it answers"):
            attach("1-2")
            appeared(HOLDER)
            with USBTMC(HOLDER) as meter:
                expect("OBH" in meter.query("*IDN?").upper(), "wrong answer")
        daemon_checks.all_of(check, PROGRAMS, WORK, "B", unplug=lambda: detach(POTENTIOSTAT),
                             plug=lambda: attach("1-1"), truth=WORK / "truth")
        with check("B: a server that ends takes its devices away"):
            end(twin)
            gone(POTENTIOSTAT)
            gone(HOLDER)
    finally:
        if twin.poll() is None:
            twin.kill()


def route_f(_):
    families.all_of(check, PROGRAMS, WORK, os.environ.get("E2E_MODELS", "").split())


def gadget(*words, limit=40):
    return run(str(HERE / "gadget.sh"), *words, limit=limit,
               environment={**os.environ, "INSITU_TWIN": str(PROGRAMS / "insitu-twin"),
                            "INSITU_TRUTH": str(WORK / "gadget-truth")})


def unplug():
    gadget("unplug", "potentiostat")
    gone(POTENTIOSTAT)


def route_c(configuration):
    print("C: FunctionFS gadgets, attached by dummy_hcd", flush=True)
    enumerated = False
    try:
        with check("C: the gadgets are made, bound and enumerated") as note:
            gadget("start", str(configuration))
            begin = time.monotonic()
            for identity in [POTENTIOSTAT, HOLDER]:
                device = appeared(identity)
                wait("usbtmc", lambda d=device: d.driver() == "usbtmc", 10)
            note(f"{time.monotonic() - begin:.1f} s after binding")
            enumerated = True
        listing()
        if not enumerated:
            print(Path("/run/insitu-gadget/log").read_text(), run("dmesg")[-1500:])
            return
        with check("C: the controller has renumbered the endpoints") as note:
            seen = [address for address, _ in appeared(POTENTIOSTAT).endpoints()]
            expect(len(seen) == 3, f"endpoints {seen}")
            note(f"asked for 01 82 83, the host sees {' '.join(seen)}")
            expect(sorted(seen) != ["01", "82", "83"], "they are the ones asked for: this check shows nothing")
        kernel_checks("C")
        long_answer("C")
        with check("C: unbinding the gadget is an unplugging, binding it again a plugging in"):
            unplug()
            gadget("plug", "potentiostat")
            appeared(POTENTIOSTAT)
            with USBTMC(POTENTIOSTAT) as meter:
                expect("KEITHLEY" in meter.query("*IDN?").upper(), "wrong answer")
        daemon_checks.all_of(check, PROGRAMS, WORK, "C", unplug=unplug, plug=lambda: gadget("plug", "potentiostat"),
                             truth=WORK / "gadget-truth")
    finally:
        with check("C: gadget.sh stop leaves nothing behind"):
            gadget("stop")
            gone(POTENTIOSTAT)
            left = [p.name for p in Path("/sys/kernel/config/usb_gadget").iterdir()]
            expect(not left, f"left in configfs: {left}")


def main():
    WORK.mkdir()
    configuration = WORK / "twin.yaml"
    configuration.write_text(TWIN)
    with check("udev runs"):
        start_udev()
    routes = {"b": route_b, "f": route_f, "c": route_c}
    for route in [routes[letter] for letter in os.environ.get("E2E_ROUTES") or "bfc"]:
        try:
            route(configuration)
        except Exception as error:  # the other route and the count are still wanted
            with check(f"{route.__name__} ran to its end"):
                raise error
    if check.failed:
        for log in sorted(WORK.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text()[-3000:]}")
    check.report()


main()
