#!/bin/sh
# SPDX-License-Identifier: MIT
# A machine's process killed, the server told to quit, killed or unmounted, while many read and write
# and the guests are busy: nothing is left, and nobody hangs where no signal reaches.
. "$(dirname "$0")/lib.sh"

gone() {
    for pid in "$@"; do
        ! grep -qs '^State:.[^Z]' "/proc/$pid/status" || return 1
    done
}
# Threads that sleep where no signal reaches: their numbers, and how often they have slept.
asleep() {
    for task in $(printf '/proc/%s/task/* ' "$@"); do
        awk -v task="$task" '/^State:.D/ { d = 1 } /^voluntary/ && d { print task, $2 }' "$task/status" 2>/dev/null || :
    done
}
# Everybody does so for an instant, waiting for another's turn; who is stuck does for a second.
not_stuck() {
    asleep "$@" >"$work/asleep"
    sleep 1
    asleep "$@" | grep -xFf "$work/asleep" >"$work/stuck" || return 0
    return 1
}

# Two guests that write files, and to the console; two programs on the mount, a client over 9P.
under_load() {
    mount_tree --listen "unix!$work/socket"
    a=$(new_vm mem=48M) b=$(new_vm mem=48M)
    for n in $a $b; do
        start_vm $n
        echo 'while :; do dd if=/dev/zero of=/big bs=64k count=20 2>/dev/null; cat /big >/dev/null; echo round; done' \
            >"$mnt/$n/cons"
        await "$mnt/$n/log" "
round"
    done
    vms="$(vm_process $a) $(vm_process $b)"
    loads=
    for seed in 1 2; do
        background python3 -I -S "$here/../e2e/load.py" "$mnt" $seed >"$work/busy.$seed" 2>&1
        loads="$loads $job"
    done
    # shellcheck disable=SC2016 # its own words
    background sh -c 'while "$0" 9p -a "$1" cat "$2/mem" "$2/conf" status; do :; done' \
        "$build/ennead" "unix!$work/socket" $a >/dev/null 2>&1
    client=$job
    await "$work/busy.1" busy
    await "$work/busy.2" busy
}
# What asks the tree ends when it is told to, and none of it is stuck.
load_ends() {
    in_time_ "$1" 10 "the client over 9P has noticed" gone "$client"
    in_time_ "$1" 5 "nobody is stuck" not_stuck $loads
    kill -KILL $loads 2>/dev/null || :
    in_time_ "$1" 5 "programs on the mount can be killed" gone $loads
    in_time_ "$1" 5 "no machine's process is left" gone $vms
    in_time_ "$1" 5 "the server is gone" gone "$server"
}

# A machine's process: the other machine and everybody else go on.
under_load
kill -KILL "$(vm_process $a)"
in_time 10 "the killed machine is dead" sh -c "grep -q '^dead kill' '$mnt/$a/status'"
in_time 5 "the process is gone" gone ${vms% *}
lines=$(log_size $b)
more_output() { [ "$(log_size $b)" -gt "$lines" ] || { echo resume >"$mnt/$b/ctl"; } 2>/dev/null; }
in_time 10 "the other machine goes on" more_output
in_time 5 "nobody is stuck" not_stuck $loads

# quit, in the middle of it.
echo quit >"$mnt/ctl"
load_ends $LINENO
lacks "the tree stays mounted after quit" mounted

under_load
kill -KILL "$server"
load_ends $LINENO
fusermount3 -u -z "$mnt"
rm -rf "$TMPDIR"/ennead-* # of the killed server, which the next one would remove

under_load
fusermount3 -u -z "$mnt"
kill -KILL $loads # lazily: they keep it until they go
in_time 10 "the server ends when the last of them has gone" gone "$server"
load_ends $LINENO
