#!/bin/sh
# SPDX-License-Identifier: MIT
# A minute in the guest is a minute outside, on an idle host and on a busy one; waiting costs nothing.
# Argument: `idle` or `busy`, one of the two; `busy` is then for a host that other tests keep busy too.
. "$(dirname "$0")/lib.sh"
which=${1:-both}
mount_tree

# Both clocks are read in one go: the guest's by a command, ours before it is typed and when its
# answer is there. The guest's moment lies between; the two of ours must be close together.
cat >"$work/clock.py" <<'PY'
"""usage: clock.py VM_DIR    prints: guest_uptime our_clock uncertainty, in seconds"""
import os, re, select, sys, time
fd = os.open(sys.argv[1] + "/cons", os.O_RDWR | os.O_NONBLOCK)
def drain():
    text = b""
    try:
        while piece := os.read(fd, 65536):
            text += piece
    except BlockingIOError:
        pass
    return text
best = None
for attempt in range(40):
    drain()
    mark = f"{attempt}.{time.monotonic_ns()}".encode()
    before = time.monotonic()
    # One built-in that reads and one that prints: no fork, and the echo is not the answer.
    os.write(fd, b"read -r up idle </proc/uptime; echo \"up\"=$up=" + mark + b"=\n")
    text, after = b"", None
    while time.monotonic() - before < 30:
        select.select([fd], [], [], 1)
        text += drain()
        if found := re.search(rb"up=([0-9.]+)=" + mark + b"=", text):
            after = time.monotonic()
            break
    if not found:
        sys.exit(f"no answer: {text!r}")
    spread = (after - before) / 2
    if best is None or spread < best[2]:
        best = (float(found[1]), (after + before) / 2, spread)
    if best[2] < 0.02:
        break
    time.sleep(0.05)
print(*best)
PY
clock() { python3 -I -S "$work/clock.py" "$mnt/$n"; }

ticks() { awk '{ print $14 + $15 }' "/proc/$process/stat"; }

# minute WHAT: a sleep of 60 s in the guest between two looks at both clocks. Sets used to the CPU
# time that the machine's process took meanwhile, in ticks.
alias minute='minute_ $LINENO'
minute_() {
    first=$(clock)
    used=$(ticks)
    guest_ "$1" $n 'sleep 60' 120
    used=$(($(ticks) - used))
    second=$(clock)
    # /proc/uptime has hundredths; both ends may be off by one, and by the uncertainty of our clock.
    echo "$2: $first -> $second"
    awk -v first="$first" -v second="$second" 'BEGIN {
        split(first, a); split(second, b)
        guest = b[1] - a[1]; host = b[2] - a[2]; doubt = a[3] + b[3] + 0.01
        off = guest - host; if (off < 0) off = -off
        printf "guest %.3f s, host %.3f s, doubt %.3f s\n", guest, host, doubt
        if (guest < 60 || doubt > 0.15) exit 1
        exit !(off - doubt <= 0.005 * host)
    }' || fail_ "$1" "time in the guest is not what it is outside: $2"
}

n=$(new_vm)
start_vm $n
process=$(vm_process $n)

date_off=$(($(guest $n 'date +%s') - $(date +%s)))
holds "the guest's date is ours, give or take the time to ask: $date_off s" \
    test $date_off -ge -2 -a $date_off -le 1
if [ "$which" != busy ]; then
    minute "idle host"
    echo "idle: $used ticks of $(getconf CLK_TCK) a second in a minute"
    holds "an idle guest uses less than 1 % of a core" test $((used * 100)) -lt $((60 * $(getconf CLK_TCK)))
fi
if [ "$which" != idle ]; then
    hogs=$(($(nproc) * 2))
    [ "$which" = both ] || hogs=1
    for hog in $(seq $hogs); do
        background timeout 100 sh -c 'while :; do :; done'
    done
    minute "busy host"
fi
