"""Checks the emulated USB instruments with other people's programs: pyusb and pyvisa-py over libusb.

Run by MockUSBFSTests in an environment where libusb finds them. "do WORDS" on standard output asks the test to do
something with a cable; it answers with a line. "done" comes last.
"""

import errno
import sys
import threading

import pyvisa
import usb.core
import usb.util

METER = dict(idVendor=0x1209, idProduct=0x7A01)


def do(words):
    print("do", words, flush=True)
    sys.stdin.readline()


def error_of(call, *arguments):
    try:
        result = call(*arguments)
    except usb.core.USBError as error:
        return error.errno
    raise AssertionError(f"{call} was not refused but gave {result!r}")


def open_meter():
    device = usb.core.find(**METER)
    assert device is not None, "no meter"
    if device.is_kernel_driver_active(0):
        device.detach_kernel_driver(0)
    usb.util.claim_interface(device, 0)
    return device


def header(message, tag, size, end=1):
    return bytes([message, tag, 255 - tag, 0]) + size.to_bytes(4, "little") + bytes([end, 0, 0, 0])


def query(device, text, tag, most=1024, timeout=1000):
    text = text.encode() + b"\n"
    device.write(1, header(1, tag, len(text)) + text + b"\0" * (-len(text) % 4), timeout)
    device.write(1, header(2, tag, most, 0), timeout)
    answer = bytes(device.read(0x82, most + 512, timeout))
    size = int.from_bytes(answer[4:8], "little")
    assert answer[0] == 2 and answer[1] == tag, answer[:12]
    return answer[12 : 12 + size]


def enumeration():
    seen = {
        (device.idVendor, device.idProduct): (device.manufacturer, device.product, device.serial_number, device.speed)
        for device in usb.core.find(find_all=True, custom_match=lambda device: device.bDeviceClass != 9)
    }
    assert seen == {
        (0x05E6, 0x2450): ("Keithley Instruments Inc.", "2450 SourceMeter", "04412345", 3),
        (0x1209, 0x0B10): ("Open Holder", "OBH-1 biasing holder", "000001", 3),
        (0x1209, 0x7A01): ("Emulated", "METER-1", "SN0001", 3),
    }, seen


def kernel_drivers():
    device = usb.core.find(**METER)
    assert device.is_kernel_driver_active(0)
    assert error_of(usb.util.claim_interface, device, 0) == errno.EBUSY
    device.detach_kernel_driver(0)
    assert not device.is_kernel_driver_active(0)
    assert error_of(device.detach_kernel_driver, 0) == errno.ENOENT
    device.attach_kernel_driver(0)
    assert device.is_kernel_driver_active(0)
    usb.util.dispose_resources(device)


def claims():
    first = open_meter()
    second = usb.core.find(**METER)
    assert error_of(usb.util.claim_interface, second, 0) == errno.EBUSY
    assert error_of(second.set_configuration, 1) == errno.EBUSY
    # What needs no interface works for both.
    assert second.ctrl_transfer(0x80, 8, 0, 0, 1)[0] == 1
    usb.util.dispose_resources(first)
    usb.util.claim_interface(second, 0)
    assert query(second, "*IDN?", 1) == b"EMULATED,METER-1,SN0001,0.1\n"
    # The interface is free while nobody has it, and the kernel driver is still off.
    usb.util.release_interface(second, 0)
    second.set_configuration(1)
    assert query(second, "*IDN?", 2) == b"EMULATED,METER-1,SN0001,0.1\n"
    second.reset()
    usb.util.dispose_resources(second)


def refusals():
    device = open_meter()
    assert error_of(device.ctrl_transfer, 0x80, 6, 0x034D, 0x0409, 255) == errno.EPIPE
    assert error_of(device.ctrl_transfer, 0xA1, 99, 0, 0, 8) == errno.EPIPE
    for endpoint in (0x82, 0x83):
        try:
            device.read(endpoint, 512, 30)
            raise AssertionError("something was read")
        except usb.core.USBTimeoutError:
            pass
    # All transfers together have 16 MiB in the kernel: a mock that gave more would hide a bug.
    backend = device.backend
    handle = device._ctx.handle
    buffer = usb.util.create_buffer(16 << 20)
    assert error_of(backend.bulk_read, handle, 0x82, 0, buffer, 30) == errno.ENOMEM
    # No MsgID of USBTMC: the device halts its endpoint until it is told otherwise.
    assert error_of(device.write, 1, header(77, 1, 4) + b"abcd") == errno.EPIPE
    assert error_of(device.write, 1, header(1, 1, 4) + b"abcd") == errno.EPIPE
    device.clear_halt(1)
    assert query(device, "*IDN?", 3) == b"EMULATED,METER-1,SN0001,0.1\n"
    usb.util.dispose_resources(device)


def blocks():
    device = open_meter()
    for tag, count in enumerate((1, 499, 500, 512, 70_000, 8_000_000), start=1):
        digits = str(count).encode()
        wanted = b"#" + str(len(digits)).encode() + digits + (bytes(range(251)) * (count // 251 + 1))[:count] + b"\n"
        assert query(device, f"BLOCK? {count}", tag, len(wanted), 5000) == wanted, count
    usb.util.dispose_resources(device)


def visa():
    manager = pyvisa.ResourceManager("@py")
    for address, answer in (
        ("USB0::0x05E6::0x2450::04412345::INSTR", "KEITHLEY INSTRUMENTS,MODEL 2450,04412345,"),
        ("USB0::0x1209::0x0B10::000001::INSTR", "OPENHOLDER,OBH-1,000001,"),
    ):
        instrument = manager.open_resource(address)
        assert instrument.query("*IDN?").startswith(answer)
        instrument.close()
    meter = manager.open_resource("USB0::0x1209::0x7A01::SN0001::INSTR")
    meter.chunk_size = 1 << 20
    values = meter.query_binary_values("BLOCK? 200000", datatype="B", container=bytes)
    assert values == (bytes(range(251)) * 800)[:200_000]
    meter.timeout = 100
    try:
        meter.query("NEVER?")
        raise AssertionError("an answer came")
    except pyvisa.errors.VisaIOError as error:
        assert error.error_code == pyvisa.constants.StatusCode.error_timeout, error
    meter.timeout = 2000
    assert meter.query("*IDN?").strip() == "EMULATED,METER-1,SN0001,0.1"
    assert meter.query("LATE? 50").strip() == "late"
    meter.close()


def cable():
    device = open_meter()
    address = device.address
    ended = []
    reader = threading.Thread(target=lambda: ended.append(error_of(device.read, 0x82, 512, 10_000)))
    reader.start()
    do("wait")
    do("unplug")
    reader.join(10)
    assert ended == [errno.ENODEV], ended
    assert error_of(device.write, 1, b"x") == errno.ENODEV
    assert usb.core.find(**METER) is None
    usb.util.dispose_resources(device)
    do("plug")
    for _ in range(1000):
        device = usb.core.find(**METER)
        if device is not None:
            break
    assert device.address != address
    # The driver of the kernel has it again.
    assert device.is_kernel_driver_active(0)
    device = open_meter()
    assert query(device, "*IDN?", 1) == b"EMULATED,METER-1,SN0001,0.1\n"
    usb.util.dispose_resources(device)


for check in (enumeration, kernel_drivers, claims, refusals, blocks, visa, cable):
    check()
    print("passed", check.__name__, flush=True)
print("done", flush=True)
