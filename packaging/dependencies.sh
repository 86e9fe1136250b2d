#!/usr/bin/env bash
# Installs the Debian packages that are missing, and says which. Usage: packaging/dependencies.sh build|test|bench
set -euo pipefail

build=(libzmq3-dev liblz4-dev libzstd-dev libcurl4-openssl-dev libyaml-dev libsqlite3-dev libusb-1.0-0-dev liblua5.1-0-dev
  libc6-dev libstdc++-12-dev)
test=(python3-venv umockdev)
bench=(fio libboost-dev)

wanted=("${build[@]}")
[ "${1:-build}" = test ] && wanted+=("${test[@]}")
[ "${1:-build}" = bench ] && wanted+=("${bench[@]}")

if ! command -v swift >/dev/null 2>&1; then
  echo "Swift is not installed. Install the Swift 6.3 toolchain for Debian 12 (swift.org, “Install > Linux”)," >&2
  echo "put its usr/bin into PATH, and run this again." >&2
  exit 69
fi
if ! command -v dpkg-query >/dev/null 2>&1; then
  echo "This is not Debian; make sure that these are installed: ${wanted[*]}" >&2
  exit 0
fi

missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

echo "Installing with apt: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null 2>&1 || {
    echo "Not root, and there is no sudo. As root: apt-get install ${missing[*]}" >&2
    exit 77
  }
  as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q >/dev/null
"${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
echo "Installed."
