"""The twin's USB/IP server, and this kernel's vhci_hcd that its devices are attached to."""

import socket
import subprocess
import time
from pathlib import Path

from checks import run
from kernel_usb import DEVICES, Device, gone

PORT = 3240


def start_twin(programs, configuration, truth, log):
    return subprocess.Popen([programs / "insitu-twin", "usbip", "--config", configuration, "--truth", truth],
                            stdin=subprocess.DEVNULL, stderr=open(log, "a"))


def listening():
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def attach(busid, limit=5.0):
    """`usbip` reads the state of all ports first, and fails when a device leaves at that moment: then it is asked again."""
    end = time.monotonic() + limit
    while True:
        try:
            return run("usbip", "attach", "-r", "127.0.0.1", "-b", busid)
        except AssertionError as error:
            if "open vhci_driver" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(0.3)


def detach(identity):
    run("usbip", "detach", "-p", str(port_of(identity)))
    gone(identity)


def port_of(identity):
    """The port of vhci_hcd that a device is at, as `usbip detach` wants it."""
    for status in sorted(Path("/sys/devices/platform/vhci_hcd.0").glob("status*")):
        for line in status.read_text().splitlines()[1:]:
            words = line.split()
            if len(words) >= 7 and words[2] == "006" and (DEVICES / words[6]).exists():
                if Device(DEVICES / words[6]).identity == identity:
                    return int(words[1])
    raise AssertionError(f"{identity} is at no port of vhci_hcd")
