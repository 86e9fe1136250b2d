"""A serial instrument as the kernel's cdc_acm or ftdi_sio shows it: /dev/ttyACM0, /dev/ttyUSB0."""

import array
import fcntl
import os
import select
import termios
import time

from checks import expect, wait
from kernel_usb import find


def node_of(identity):
    """The device file, nil while no serial driver has the device."""
    device = find(identity)
    # cdc_acm puts its tty below `tty`, a usb-serial driver below the port's own name.
    names = [p.name for p in device.interface().glob("tty/tty*")] + [
        p.name for p in device.interface().glob("ttyUSB*")] if device else []
    return "/dev/" + names[0] if names and os.path.exists("/dev/" + names[0]) else None


class TTY:
    """The open device file: raw, 8 data bits, no parity, one stop bit, no flow control."""

    def __init__(self, identity, speed):
        self.node = wait(f"tty of {identity}", lambda: node_of(identity), 10)
        self.file = os.open(self.node, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        attributes = termios.tcgetattr(self.file)
        attributes[0:4] = [0, 0, termios.CS8 | termios.CREAD | termios.CLOCAL | termios.HUPCL, 0]
        attributes[4] = attributes[5] = speed
        termios.tcsetattr(self.file, termios.TCSANOW, attributes)
        termios.tcflush(self.file, termios.TCIOFLUSH)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.file)

    def dtr(self):
        lines = array.array("i", [0])
        fcntl.ioctl(self.file, termios.TIOCMGET, lines)
        return bool(lines[0] & termios.TIOCM_DTR)

    def query(self, line, last, limit=5.0):
        """What is answered, up to the line that is the last one."""
        os.write(self.file, line.encode() + b"\n")
        answer = b""
        end = time.monotonic() + limit
        while not answer.endswith(last.encode() + b"\n"):
            left = end - time.monotonic()
            expect(left > 0, f"no whole answer to “{line}” within {limit:.0f} s, only {answer!r}")
            if select.select([self.file], [], [], left)[0]:
                answer += os.read(self.file, 4096)
        return answer.decode("ascii", "replace").splitlines()
