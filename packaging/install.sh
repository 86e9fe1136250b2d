#!/usr/bin/env bash
# Installs programs, unit and rules below $1 (a DESTDIR, may be empty). Run `make build` first.
set -euo pipefail
cd "$(dirname "$0")/.."
root=${1:-}
bin=$(swift build -c release --show-bin-path)
install -D -m 0755 -t "$root/usr/bin" "$bin/insitud" "$bin/insituctl" "$bin/insitu-twin"
install -D -m 0644 -t "$root/lib/systemd/system" systemd/insitud.service
install -D -m 0644 -t "$root/lib/udev/rules.d" systemd/60-insitud.rules
install -D -m 0644 systemd/insitud.sysusers "$root/usr/lib/sysusers.d/insitud.conf"
[ -e "$root/etc/insitud/insitud.yaml" ] || install -D -m 0640 config/insitud.yaml "$root/etc/insitud/insitud.yaml"
install -D -m 0644 -t "$root/usr/share/insitud/protocols" config/protocols/*.yaml
install -D -m 0644 -t "$root/usr/share/insitud" config/twin.yaml
install -D -m 0644 -t "$root/usr/share/doc/insitud" README.md docs/*.md
install -D -m 0644 -t "$root/usr/include/insitud" Sources/CFrameRing/include/CFrameRing.h
install -D -m 0644 -t "$root/usr/share/doc/insitud/examples" examples/*.py examples/*.c
echo "Installed below ${root:-/}. Next, as root: systemd-sysusers; udevadm control --reload; udevadm trigger; systemctl daemon-reload;"
echo "edit /etc/insitud/insitud.yaml; insitud --check-config; systemctl enable --now insitud"
