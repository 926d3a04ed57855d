#!/bin/sh
# SPDX-License-Identifier: MIT
# grep -r, find -exec cat, cp -r, tar and rsync: at streams they wait as at a FIFO and can be
# interrupted; without those they end, make no more than the one machine that `new` is for, and
# disturb nobody.
. "$(dirname "$0")/lib.sh"
mount_tree

n=$(new_vm)
echo reap 0 >"$mnt/ctl"
m=$(new_vm mem=32M engine=interp) # its jit/block is empty, not 40,000 files
start_vm $m
machines() { cut -d ' ' -f 1-5 "$mnt/status"; }
before=$(machines)
background cat "$mnt/$m/cons" >"$work/cons"
background cat "$mnt/$m/events" >"$work/events"

# The words that help gives.
streams=$(sed -n '/^Tools that read everything/,$p' "$mnt/help" | sed 1d)
same "$(echo $streams)" "cons com1 com2 events wait trace" "what help says is to be left out"
each() { for name in $streams; do printf ' %s%s' "$1" "$name"; done; }
# Linear memory ends, for who reads it all, where nothing is mapped: with EFAULT.
unnamed="$(each '! -name ') ! -name vmem"

# ends COMMAND…: in time, and no machine came of it. Its status is in $status.
alias ends='ends_ $LINENO'
ends_() {
    at=$1
    shift
    status=0
    timeout 60 "$@" >"$work/out" 2>"$work/err" || status=$?
    [ $status -ne 124 ] || fail_ "$at" "$1 did not end"
    same_ "$at" "$(machines)" "$before" "machines after $1"
}

mkdir "$work/to"
ends grep -r $(each --exclude=) --exclude=new --exclude=vmem -l 'BusyBox' "$mnt"
holds "grep finds the guest's greeting" grep -qx "$mnt/$m/log" "$work/out"
# What only a process has is not to be had of a machine that is off, what only the JIT has not of one
# that interprets, and nothing without waiting for the process.
lacks "grep complains: $(cat "$work/err")" \
    grep -qvE ': (Device or resource busy|Resource temporarily unavailable|Operation not supported)$' "$work/err"
ends find "$mnt" -type f $unnamed ! -name new ! -path '*/root/*' -exec cat {} +
lacks "cat complains: $(cat "$work/err")" grep -qvE ': (Device or resource busy|Operation not supported)$' "$work/err"
holds "cat shows every file" grep -aq 'Linux version' "$work/out"
ends tar -cf "$work/tree.tar" -C "$mnt" $(each --exclude=) --exclude=new --exclude=vmem --exclude=root .
holds "tar has the log" sh -c 'tar -xOf "$0" "./$1/log" | grep -aq "Linux version"' "$work/tree.tar" $m
ends rsync -r $(each --exclude=) --exclude=new --exclude=vmem --exclude=root "$mnt/" "$work/to/rsync"
holds "rsync has the log" grep -aq 'Linux version' "$work/to/rsync/$m/log"
ends cp -r "$mnt/n" "$mnt/$m/name" "$mnt/conf" "$mnt/$m/log" "$work/to"
same "$status" 0 "status of cp -r"
holds "cp has the setting" grep -qx 'mem 128M' "$work/to/conf"
holds "cp copies the guest's tree" cp -r "$mnt/$m/root/etc" "$work/to/etc"
holds "and its files" cmp "$build/guest/root/etc/profile" "$work/to/etc/profile"

# new is a machine for who reads it, once for each open of it.
before="$before
$((m + 1)) $((m + 1)) new - 128M"
ends grep -r $(each --exclude=) --exclude=vmem --exclude=mem nothing-has-this "$mnt"
rmdir "$mnt/$((m + 1))"
before="${before%
*}"

# With the streams. Below a directory GNU's grep asks for no wait, and goes on; tar and rsync read no
# more than the size that a file has, which is none.
ends grep -r --exclude=new --exclude=vmem nothing-has-this "$mnt"
ends tar -cf "$work/streams.tar" --exclude=new --exclude=mem --exclude=root -C "$mnt" .
ends rsync -r --exclude=new --exclude=mem --exclude=root "$mnt/" "$work/to/streams"
# The others: each comes to wait in a read, and goes within a second of Ctrl-C.
alias waits='waits_ $LINENO'
waits_() {
    at=$1
    shift
    # Unlike a shell's job in the background, it does not start with SIGINT ignored.
    background python3 -I -S -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.setpgid(0, 0)
os.execvp(sys.argv[1], sys.argv[1:])' "$@" >/dev/null 2>&1
    in_time_ "$at" $patience "$1 waits at a stream" waiting $job
    kill -INT "-$job"
    in_time_ "$at" 1 "$1 is gone after Ctrl-C" ended_group $job
}
group() { pgrep -g "$1" || :; }
# Some process of it has a stream open and sleeps in read, system call 0.
waiting() {
    for pid in $(group "$1"); do
        ls -l "/proc/$pid/fd" 2>/dev/null | grep -qE "$mnt/$n/(cons|com1|com2|events|wait|trace)\$" || continue
        [ "$(uname -m)" != x86_64 ] || grep -qs '^0 ' "/proc/$pid/syscall" || continue
        return 0
    done
    return 1
}
ended_group() { [ -z "$(group "$1" | while read -r p; do grep -s '^State:.[^Z]' "/proc/$p/status"; done)" ]; }
waits grep nothing-has-this "$mnt/$n/conf" "$mnt/$n/cons"
waits find "$mnt/$n" -type f -exec cat {} +
waits cp -r "$mnt/$n" "$work/to/machine"
waits cat "$mnt/$n/wait"
same "$(machines)" "$before" "machines after all that"

same "$(guest $m 'echo $((13*13))')" 169 "the running machine after all that"
await "$work/cons" 169
lacks "the reader of events was told of a loss" grep -q '^lost' "$work/events"
