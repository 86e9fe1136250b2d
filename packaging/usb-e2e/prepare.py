"""Makes the virtual machine's kernel and first file system out of unpacked Debian packages.

usage: prepare.py PACKAGES OUTPUT NAME=VALUE…     (the settings that `init` reads)
"""

import lzma
import os
import re
import shutil
import struct
import subprocess
import sys

# What is loaded, in this order, each after what it depends on; with parameters.
MODULES = [
    "virtio_pci", "9pnet_virtio", "9p", "overlay",
    "vhci_hcd", "usbtmc", "cdc_acm", "usbserial", "ftdi_sio",
    "dummy_hcd num=2", "libcomposite", "usb_f_fs", "usb_f_acm",
]


def kernel(root, output):
    """The kernel as it is in memory: a compressed one takes seconds to unpack itself without KVM."""
    boot = os.path.join(root, "boot")
    names = sorted(name for name in os.listdir(boot) if name.startswith("vmlinuz-"))
    if not names:
        sys.exit(f"usb-e2e: no kernel below {boot}")
    version = names[-1][len("vmlinuz-"):]
    target = os.path.join(output, "vmlinux-" + version)
    if not os.path.exists(target):
        image = open(os.path.join(boot, names[-1]), "rb").read()
        # Linux Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length.
        start = (image[0x1F1] + 1) * 512 + struct.unpack_from("<I", image, 0x248)[0]
        payload = image[start:start + struct.unpack_from("<I", image, 0x24C)[0]]
        with open(target + ".new", "wb") as file:
            file.write(unpack(payload) or image)
        os.rename(target + ".new", target)
    return version, target


def unpack(payload):
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd") and shutil.which("zstd"):
        # The last four bytes are the size, which is no part of the stream.
        return subprocess.run(["zstd", "-dc"], input=payload[:-4], stdout=subprocess.PIPE, check=True).stdout
    return None


def load(path):
    data = open(path, "rb").read()
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


class Modules:
    """Modules by name, in an order in which each finds what it needs."""

    def __init__(self, root, version):
        self.paths = {}
        for folder, _, names in os.walk(os.path.join(root, "lib/modules", version)):
            for name in names:
                match = re.fullmatch(r"(.+)\.ko(\.xz|\.zst)?", name)
                if match:
                    self.paths[match[1].replace("-", "_")] = os.path.join(folder, name)
        self.order = []
        self.contents = {}

    def add(self, words):
        name, _, parameters = words.partition(" ")
        # What is not a module is part of the kernel.
        if name in self.contents or name not in self.paths:
            return
        data = load(self.paths[name])
        match = re.search(rb"(?:^|\0)depends=([^\0]*)\0", data)
        for needed in (match[1].decode().split(",") if match else []):
            if needed:
                self.add(needed.replace("-", "_"))
        self.contents[name] = data
        self.order.append(f"{name}.ko {parameters}".strip())


class Archive:
    """A cpio archive as the kernel unpacks it (Linux Documentation/driver-api/early-userspace/buffer-format.rst)."""

    def __init__(self):
        self.bytes = bytearray()
        self.number = 0

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.number += 1
        encoded = name.encode() + b"\0"
        fields = [self.number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0]
        self.bytes += b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        self.pad()
        self.bytes += data
        self.pad()

    def pad(self):
        self.bytes += bytes(-len(self.bytes) % 4)


def main():
    root, output, *settings = sys.argv[1:]
    version, image = kernel(root, output)
    modules = Modules(root, version)
    for words in MODULES:
        modules.add(words)
    archive = Archive()
    for folder in ["bin", "dev", "proc", "sys", "modules"]:
        archive.add(folder, 0o040755)
    archive.add("dev/console", 0o020600, device=(5, 1))
    for candidate in ["usr/bin/busybox", "bin/busybox"]:
        path = os.path.join(root, candidate)
        if os.path.exists(path):
            archive.add("bin/busybox", 0o100755, open(path, "rb").read())
            break
    else:
        sys.exit(f"usb-e2e: no busybox below {root}")
    for name, data in modules.contents.items():
        archive.add(f"modules/{name}.ko", 0o100644, data)
    archive.add("modules/order", 0o100644, "".join(line + "\n" for line in modules.order).encode())
    quoted = ["{}='{}'\n".format(*setting.split("=", 1)) for setting in settings]
    archive.add("settings", 0o100644, "".join(quoted).encode())
    here = os.path.dirname(os.path.abspath(__file__))
    archive.add("init", 0o100755, open(os.path.join(here, "init"), "rb").read())
    archive.add("TRAILER!!!", 0)
    with open(os.path.join(output, "initramfs"), "wb") as file:
        file.write(archive.bytes)
    print(image)


main()
