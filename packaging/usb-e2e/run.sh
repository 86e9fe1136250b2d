#!/usr/bin/env bash
# A real Linux kernel, its USB and the emulated instruments in a virtual machine: `make usb-e2e`.
# Needs no KVM, no root and no USB. What is downloaded stays in .build/usb-e2e.
#   USB_E2E_ROUTES=b|f|c    only USB/IP with the Keithley 2450, only the other families, only gadgets (default bfc)
#   USB_E2E_MODELS=nexus    of the other families only these (names with spaces between)
#   CONFIGURATION=release   optimised programs        USB_E2E_LIMIT=300   seconds for the virtual machine
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly limit=${USB_E2E_LIMIT:-240}   # seconds for the virtual machine, from start to end
readonly work=$PWD/.build/usb-e2e
readonly packages=(busybox-static usbip udev libkmod2)

skip() {
  echo "usb-e2e: SKIPPED, nothing was checked: $1" >&2
  exit 0
}

[ "$(uname -m)" = x86_64 ] || skip "the virtual machine runs x86-64 programs, and this is $(uname -m)"
command -v python3 >/dev/null || skip "python3 is missing"
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || skip "no apt: Debian's kernel comes from there"
mkdir -p "$work/packages"
# A path with these cannot be put on a mount's or QEMU's command line.
case $PWD in *[,:\'\"\ ]*) skip "this directory's name has a comma, colon, quote or space" ;; esac

# QEMU
if ! command -v qemu-system-x86_64 >/dev/null; then
  as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || skip "qemu-system-x86 is missing; as root: apt-get install qemu-system-x86"
    as_root=(sudo -n)
  fi
  echo "Installing with apt: qemu-system-x86"
  { "${as_root[@]}" apt-get update -q && DEBIAN_FRONTEND=noninteractive \
      "${as_root[@]}" apt-get install -y -q --no-install-recommends qemu-system-x86; } >"$work/apt.log" 2>&1 ||
    skip "qemu-system-x86 is missing and cannot be installed (see $work/apt.log)"
fi

# Kernel and tools: unpacked here, not installed. lib and bin are links as in Debian, so that they lie over the host's.
if [ ! -e "$work/root/complete" ]; then
  kernel=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\).*/\1/p' | head -1)
  [ -n "$kernel" ] || skip "apt knows no linux-image-amd64; run apt-get update as root"
  echo "Downloading with apt: $kernel ${packages[*]}"
  rm -rf "$work/root" "$work/packages"
  mkdir -p "$work/packages" "$work/root/usr/bin" "$work/root/usr/sbin" "$work/root/usr/lib"
  (cd "$work/packages" && apt-get download "$kernel" "${packages[@]}") >"$work/download.log" 2>&1 ||
    skip "the packages cannot be downloaded (see $work/download.log)"
  for name in bin sbin lib; do ln -s "usr/$name" "$work/root/$name"; done
  for package in "$work"/packages/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink --no-same-owner -C "$work/root"
  done
  touch "$work/root/complete"
fi

# What is checked. On a busy computer unoptimised programs in a machine without KVM can miss the daemon's time limits
# (400 ms for the safe state): then use CONFIGURATION=release.
configuration=${CONFIGURATION:-debug}
for product in insitud insituctl insitu-twin; do swift build -q -c "$configuration" --product "$product"; done
programs=$(swift build -c "$configuration" --show-bin-path)

python=/usr/bin/python3
[ -x "$python" ] || python=$(python3 -c 'import sys; print(sys.executable)')
kernel=$(python3 packaging/usb-e2e/prepare.py "$work/root" "$work" \
  "CHECKS=$PWD/packaging/usb-e2e" "PROGRAMS=$programs" "PYTHON=$python" "ROUTES=${USB_E2E_ROUTES:-bfc}" \
  "MODELS=${USB_E2E_MODELS:-}")

echo "Booting $(basename "$kernel") without KVM ..."
started=$SECONDS
# `timeout` ends the machine in any case; -no-reboot makes a panic its end.
timeout --foreground --kill-after=5 "$limit" qemu-system-x86_64 \
  -machine pc -accel tcg,thread=multi -cpu max -smp 2 -m 1536 -nodefaults -no-reboot -display none \
  -kernel "$kernel" -initrd "$work/initramfs" \
  -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable" \
  -virtfs "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap" \
  -virtfs "local,path=$work/root,mount_tag=packages,security_model=none,readonly=on,multidevs=remap" \
  -serial stdio </dev/null 2>"$work/qemu.log" | sed -u 's/\r$//' | tee "$work/console.log" || {
  echo "usb-e2e: FAILED: the virtual machine did not end within $limit s (see $work/console.log)" >&2
  exit 1
}
result=$(grep -a '^usb-e2e: [0-9]* ok' "$work/console.log" | tail -1 || true)
[ -n "$result" ] || {
  echo "usb-e2e: FAILED: the checks did not come to an end (see $work/console.log and qemu.log)" >&2
  exit 1
}
echo "The virtual machine ran for $((SECONDS - started)) s."
case $result in *", 0 failed"*) ;; *) exit 1 ;; esac
