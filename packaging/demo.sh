#!/usr/bin/env bash
# One nanobattery, charged at 2 pA on the twin under a 400 fps camera. Called by `make demo`.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(swift build -c release --show-bin-path)
data=demo-data
needed=7000000000   # 6 GB of run, and what must stay free

mkdir -p "$data"
packaging/stop-demo.sh   # a daemon that a broken-off demo left would still write there
rm -rf "$data/runs" "$data"/catalog.sqlite* "$data/truth"
free=$(( $(stat -f -c '%a * %S' "$data") ))
echo "The demo writes about 5 GB (at most 6 GB) into $data/; $((free / 1000000000)) GB are free there."
if [ "$free" -lt "$needed" ]; then
  echo "That is too little: at least 7 GB must be free. Free some space, or make $data a link to a larger disk." >&2
  exit 73
fi

runtime=$(mktemp -d "${TMPDIR:-/tmp}/insitud.XXXXXX")
export INSITUD_ENDPOINT="ipc://$runtime/control"
"$bin/insitud" --config config/twin.yaml --runtime "$runtime" --data "$data" 2>"$data/insitud.log" &
daemon=$!
echo "$daemon" > "$data/insitud.pid"
stop() {
  if kill -TERM "$daemon" 2>/dev/null; then wait "$daemon" 2>/dev/null || true; fi
  rm -rf "$runtime" "$data/insitud.pid"
}
trap stop EXIT
trap 'echo "Broken off: the run is stopped, and the daemon ended." >&2; exit 130' INT TERM

for _ in $(seq 100); do
  "$bin/insituctl" status >/dev/null 2>&1 && break
  kill -0 "$daemon" 2>/dev/null || { cat "$data/insitud.log" >&2; exit 69; }
  sleep 0.1
done

outcome=0
"$bin/insituctl" run start config/protocols/demo.yaml --follow || outcome=$?
if [ "$outcome" -eq 130 ] || [ "$outcome" -eq 143 ]; then
  echo "Broken off: the run is stopped, and the daemon ended." >&2
  exit "$outcome"
fi
"$bin/insituctl" runs show last --json > "$data/run.json" || outcome=$?
"$bin/insituctl" plot last -o "$data/demo.svg" >/dev/null || outcome=$?
echo "Checking every frame, index record and the ledger ..."
"$bin/insituctl" runs verify last || outcome=$?
[ -d "$runtime/truth" ] && cp -r "$runtime/truth" "$data/truth"
stop
trap - EXIT

lost=$(grep -o '"lost_at_source": *[0-9]*\|"dropped": *{[^}]*}' "$data/run.json" | head -2 | grep -o '[0-9][0-9]*' | awk '{ n += $1 } END { print n + 0 }')
if [ "$outcome" -eq 0 ] && [ "$lost" -eq 0 ]; then
  echo "The ledger balances and nothing was lost."
else
  echo "The demo did not end as it should (exit $outcome, $lost frames lost); see $data/insitud.log" >&2
  [ "$outcome" -eq 0 ] && outcome=4
fi
echo "plot:     $data/demo.svg"
echo "run:      $data/run.json"
echo "log:      $data/insitud.log"
[ -d "$data/truth" ] && echo "truth:    $data/truth/ (what the twin knows, for comparison)"
exit "$outcome"
