"""USB as the kernel shows it: sysfs, and its own usbtmc driver."""

import errno
import fcntl
import os
import select
import time
from pathlib import Path

from checks import expect, wait

DEVICES = Path("/sys/bus/usb/devices")

# Linux include/uapi/linux/usb/tmc.h: _IOC(direction, 91, number, size)
CLEAR = 91 << 8 | 2
SET_TIMEOUT = 1 << 30 | 4 << 16 | 91 << 8 | 10
GET_CAPABILITIES = 2 << 30 | 1 << 16 | 91 << 8 | 17
READ_STATUS_BYTE = 2 << 30 | 1 << 16 | 91 << 8 | 18


def text(path):
    try:
        return path.read_text().strip()
    except OSError:
        return ""


class Device:
    """A device of sysfs with the vendor, product and interfaces it shows."""

    def __init__(self, path):
        self.path = path
        self.identity = f"{text(path / 'idVendor')}:{text(path / 'idProduct')}"
        self.serial = text(path / "serial")

    def interface(self):
        found = sorted(self.path.glob(f"{self.path.name}:*.0"))
        # One that is not configured has none.
        return found[0] if found else self.path / "none"

    def driver(self):
        link = self.interface() / "driver"
        return link.resolve().name if link.exists() else ""

    def endpoints(self):
        """(address, packet) of each, as the host sees them."""
        folders = sorted(self.interface().glob("ep_*"))
        return [(text(f / "bEndpointAddress"), int(text(f / "wMaxPacketSize") or "0", 16)) for f in folders]

    def node(self):
        nodes = sorted(self.interface().glob("usbmisc/usbtmc*"))
        return Path("/dev") / nodes[0].name if nodes else None

    def __str__(self):
        interface = self.interface()
        kind = "/".join(text(interface / f"bInterface{x}") for x in ("Class", "SubClass", "Protocol"))
        return (f"Bus {int(text(self.path / 'busnum')):03} Device {int(text(self.path / 'devnum')):03} ID {self.identity} "
                f"{text(self.path / 'manufacturer')} {text(self.path / 'product')} {self.serial}, "
                f"{text(self.path / 'speed')} Mbit/s, interface {kind}, endpoints "
                f"{' '.join(address for address, _ in self.endpoints())}, driver {self.driver() or '-'}")


def find(identity):
    for vendor in DEVICES.glob("*/idVendor"):
        device = Device(vendor.parent)
        if device.identity == identity:
            # The interfaces come a moment after the device.
            if any(device.path.glob(f"{device.path.name}:*.0")):
                return device
    return None


def appeared(identity, limit=10.0):
    return wait(f"device {identity}", lambda: find(identity), limit)


def gone(identity, limit=10.0):
    wait(f"end of {identity}", lambda: find(identity) is None, limit)


class USBTMC:
    """/dev/usbtmcN: the kernel's own driver."""

    def __init__(self, identity):
        node = wait(f"/dev/usbtmc of {identity}", lambda: (found := find(identity)) and found.node(), 10)
        self.file = os.open(node, os.O_RDWR)
        self.timeout(5000)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.file)

    def timeout(self, milliseconds):
        fcntl.ioctl(self.file, SET_TIMEOUT, milliseconds.to_bytes(4, "little"))

    def write(self, line):
        os.write(self.file, line.encode() + b"\n")

    def read(self, most=4096):
        return os.read(self.file, most)

    def query(self, line):
        self.write(line)
        return self.read().decode().strip()

    def clear(self):
        fcntl.ioctl(self.file, CLEAR)

    def status(self):
        return fcntl.ioctl(self.file, READ_STATUS_BYTE, b"\0")[0]

    def capabilities(self):
        return fcntl.ioctl(self.file, GET_CAPABILITIES, b"\0")[0]

    def times_out(self, milliseconds):
        """Seconds that a read without a question takes to fail."""
        self.timeout(milliseconds)
        begin = time.monotonic()
        try:
            self.read()
        except OSError as error:
            expect(error.errno == errno.ETIMEDOUT, f"a read without a question: {error}")
            return time.monotonic() - begin
        finally:
            self.timeout(5000)
        raise AssertionError("a read without a question gave an answer")

    def wants_service(self, seconds):
        """True when the device asks for service (interrupt-IN) within that time."""
        poll = select.poll()
        poll.register(self.file, select.POLLPRI)
        return bool(poll.poll(int(seconds * 1000)))
