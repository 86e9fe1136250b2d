#!/usr/bin/env bash
# The twin's instruments as USB gadgets of this computer (root; a USB device controller). See docs/twin-hardware.md.
#
#   gadget.sh start CONFIG [INSTRUMENT…]     INSTRUMENT: potentiostat, holder; each needs a controller of its own
#   gadget.sh unplug | plug [INSTRUMENT…]    pulls the cable, puts it back
#   gadget.sh stop
#
# INSITU_TWIN names the program (insitu-twin in PATH).
set -euo pipefail
readonly config=/sys/kernel/config
readonly gadgets=$config/usb_gadget
readonly place=/run/insitu-gadget
readonly prefix=insitu-

fail() { echo "gadget.sh: $1" >&2; exit 1; }

prepare_kernel() {
  modprobe -q libcomposite 2>/dev/null || true
  modprobe -q usb_f_fs 2>/dev/null || true
  mountpoint -q "$config" || mount -t configfs none "$config"
  [ -d "$gadgets" ] || fail "this kernel has no USB gadgets; load libcomposite"
}

# Controllers that carry no gadget yet.
free_controllers() {
  local controller
  for controller in /sys/class/udc/*; do
    [ -e "$controller" ] || continue
    grep -qsx "$(basename "$controller")" "$gadgets"/*/UDC || basename "$controller"
  done
}

# describe CONFIG INSTRUMENT: one line of `insitu-twin gadget --describe`.
describe() {
  "$twin" gadget --config "$1" --describe | grep "^$2"$'\t' || fail "no instrument “$2”: potentiostat or holder"
}

make_gadget() {   # CONFIG INSTRUMENT
  local name vendor product serial maker title line gadget=$gadgets/$prefix$2
  line=$(describe "$1" "$2")
  IFS=$'\t' read -r name vendor product serial maker title <<<"$line"
  mkdir -p "$gadget/strings/0x409" "$gadget/configs/c.1" "$gadget/functions/ffs.$prefix$name"
  echo "$vendor" >"$gadget/idVendor"
  echo "$product" >"$gadget/idProduct"
  echo "$serial" >"$gadget/strings/0x409/serialnumber"
  echo "$maker" >"$gadget/strings/0x409/manufacturer"
  echo "$title" >"$gadget/strings/0x409/product"
  echo 0xC0 >"$gadget/configs/c.1/bmAttributes"   # a supply of its own
  echo 2 >"$gadget/configs/c.1/MaxPower"
  ln -s "$gadget/functions/ffs.$prefix$name" "$gadget/configs/c.1/"
  mkdir -p "$place/$name"
  mount -t functionfs "$prefix$name" "$place/$name"
}

start() {
  local configuration=${1:-} instrument controller directories=()
  [ -r "$configuration" ] || fail "start CONFIG: a configuration file with the section “twin:”"
  shift
  [ $# -gt 0 ] || set -- potentiostat holder
  prepare_kernel
  [ ! -e "$place" ] || fail "there is one already; gadget.sh stop"
  [ "$(free_controllers | wc -l)" -ge $# ] ||
    fail "$# USB device controllers are needed, $(free_controllers | wc -l) are free: name one instrument"
  mkdir -p "$place"
  for instrument; do
    make_gadget "$configuration" "$instrument"
    directories+=("$instrument=$place/$instrument")
  done
  setsid "$twin" gadget --config "$configuration" --functionfs "${directories[@]}" ${INSITU_TRUTH:+--truth "$INSITU_TRUTH"} \
    </dev/null >>"$place/log" 2>&1 &
  echo $! >"$place/pid"
  for _ in $(seq 100); do
    grep -q "ready: bind" "$place/log" && break
    kill -0 "$(cat "$place/pid")" 2>/dev/null || { cat "$place/log" >&2; stop; fail "the twin has ended"; }
    sleep 0.1
  done
  plug "$@"
}

plug() {
  local instrument controller
  for instrument; do
    controller=$(free_controllers)
    controller=${controller%%$'\n'*}
    [ -n "$controller" ] || fail "no USB device controller is free"
    echo "$controller" >"$gadgets/$prefix$instrument/UDC"
    echo "$instrument: at $controller"
  done
}

unplug() {
  local instrument
  for instrument; do echo "" >"$gadgets/$prefix$instrument/UDC"; done
}

stop() {
  local gadget
  for gadget in "$gadgets/$prefix"*; do
    [ -d "$gadget" ] || continue
    echo "" >"$gadget/UDC" 2>/dev/null || true
  done
  if [ -e "$place/pid" ]; then
    kill -TERM "$(cat "$place/pid")" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$(cat "$place/pid")" 2>/dev/null || break; sleep 0.1; done
  fi
  for gadget in "$gadgets/$prefix"*; do
    [ -d "$gadget" ] || continue
    local name=${gadget##*"$prefix"}
    umount "$place/$name" 2>/dev/null || true
    rm -f "$gadget"/configs/c.1/ffs.*
    rmdir "$gadget/functions/"* "$gadget"/configs/c.1/strings/* "$gadget/configs/c.1" "$gadget/strings/0x409" \
      "$gadget" 2>/dev/null || true
  done
  rm -rf "$place"
}

[ "$(id -u)" -eq 0 ] || fail "only root can make gadgets"
twin=${INSITU_TWIN:-insitu-twin}
command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  start) start "$@" ;;
  plug | unplug) [ $# -gt 0 ] || set -- potentiostat holder; "$command" "$@" ;;
  stop) stop ;;
  *) sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//'; exit 64 ;;
esac
