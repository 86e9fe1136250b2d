#!/usr/bin/env bash
# Ends a daemon that a broken-off demo left behind. Only the process that the demo noted, and only if it is insitud.
cd "$(dirname "$0")/.."
[ -f demo-data/insitud.pid ] || exit 0
pid=$(cat demo-data/insitud.pid)
if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = insitud ]; then
  kill -TERM "$pid"
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
fi
rm -f demo-data/insitud.pid
