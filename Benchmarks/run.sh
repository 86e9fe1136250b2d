#!/usr/bin/env bash
# Runs the benchmarks and cleans up after them. Called by `make bench`, which builds first.
# Usage: Benchmarks/run.sh [--only ring|pixels|disk|simplon|load|latency|limit|usb] [--seconds N]
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(swift build -c release --show-bin-path)
work=${INSITUD_BENCH_DIR:-.build/benchmark}
needed=7000000000   # 5 GB at a time, and what must stay free

rm -rf "$work"
mkdir -p "$work"
free=$(($(stat -f -c '%a * %S' "$work")))
echo "The benchmarks write at most 5 GB at a time into $work (removed afterwards); $((free / 1000000000)) GB are free."
if [ "$free" -lt "$needed" ]; then
  rmdir "$work"
  echo "That is too little: 7 GB must be free. Free some space, or name another disk: INSITUD_BENCH_DIR=DIR make bench" >&2
  exit 73
fi
# Rings in memory: 640 frames of 2 MiB where SIMPLON is measured; 256 of the daemon and 32 of the twin at another time.
shm=$(($(stat -f -c '%a * %S' /dev/shm)))
if [ "$shm" -lt 1500000000 ]; then
  rmdir "$work"
  echo "The rings need 1.5 GB in /dev/shm, and $((shm / 1000000)) MB are free there." >&2
  exit 73
fi

runtime=$(mktemp -d "${TMPDIR:-/tmp}/insitud.XXXXXX")
cleanup() {
  # A daemon is left only when insitu-bench was killed; only the one it noted, and only if it is insitud.
  if [ -f "$work/insitud.pid" ]; then
    pid=$(cat "$work/insitud.pid")
    if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = insitud ]; then
      kill -TERM "$pid" 2>/dev/null || true
      for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    fi
  fi
  [ "${outcome:-1}" -eq 0 ] || tail -n 20 "$work/insitud.log" >&2 2>/dev/null || true
  rm -rf "$runtime" "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

echo
echo "Machine: $(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(uname -sr)," \
  "$(awk '/MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo); $(date -u +%F)," \
  "load $(cut -d' ' -f1 /proc/loadavg) before"
fio=()
command -v fio >/dev/null 2>&1 && fio=(--fio "$(command -v fio)")
python=()
.venv/bin/python -c 'import libertem_dectris' >/dev/null 2>&1 && python=(--python .venv/bin/python)
outcome=0
"$bin/insitu-bench" --programs "$bin" --configuration config/twin.yaml --work "$work" --runtime "$runtime" \
  "${fio[@]}" "${python[@]}" "$@" || outcome=$?
exit "$outcome"
