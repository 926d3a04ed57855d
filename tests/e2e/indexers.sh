#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs that look at everything make no machine, start nothing and end.
. "$(dirname "$0")/lib.sh"
mount_tree

n=$(new_vm)
m=$(new_vm engine=interp) # or ls -l would look at 40,000 files in jit/block, half a minute each time
start_vm $m
echo pause >"$mnt/$m/ctl"
machines() { cut -d ' ' -f 1-5 "$mnt/status"; }
before=$(machines)

# quietly COMMAND…: ends in time and makes nothing.
alias quietly='quietly_ $LINENO'
quietly_() {
    at=$1
    shift
    status=0
    timeout 30 "$@" >"$work/out" 2>"$work/err" || status=$?
    [ $status -ne 124 ] || fail_ "$at" "$* did not end"
    same_ "$at" "$(machines)" "$before" "machines after $*"
}

quietly ls -lR "$mnt"
quietly find "$mnt"
holds "find sees every file of a machine" grep -qx "$mnt/$n/conf" "$work/out"
lacks "find complains" test -s "$work/err"
quietly find "$mnt" -type f -name conf -newer "$work"
quietly find "$mnt" -exec stat {} +
quietly du -a "$mnt"
quietly tree "$mnt"
quietly test -r "$mnt/new"
quietly file "$mnt/new" "$mnt/ctl" "$mnt/$n/ctl" # reads nothing of empty files
quietly python3 -I -S -c "
import os
for path, _, files in os.walk('$mnt'):
    for name in files:
        if '/root' in path and os.path.islink(os.path.join(path, name)):
            continue  # the guest's, which leads somewhere in the guest
        os.close(os.open(os.path.join(path, name), os.O_RDONLY | os.O_NONBLOCK)) if name not in ('regs', 'fpregs', 'mem', 'vmem', 'map', 'io', 'bp', 'stats', 'blocks', 'com1', 'com2', 'trace', 'consctl') else None
        os.stat(os.path.join(path, name))
"
lacks "opening every file fails: $(cat "$work/err")" test -s "$work/err"

# Reading makes one machine, as `new` says; leaving that out, none.
quietly grep -r --exclude=new --exclude=cons --exclude=com1 --exclude=com2 --exclude=trace --exclude=events --exclude=wait \
    --exclude=mem --exclude=vmem nothing-has-this "$mnt"
quietly grep -rl --exclude=new --exclude=cons --exclude=com1 --exclude=com2 --exclude=trace --exclude=events \
    --exclude=wait --exclude=mem --exclude=vmem '^mem 128M' "$mnt"
same "$(sort "$work/out")" "$mnt/$n/conf
$mnt/$m/conf
$mnt/conf" "files with a setting"
before="$before
$((m + 1)) $((m + 1)) new - 128M"
quietly grep -r --exclude=cons --exclude=com1 --exclude=com2 --exclude=trace --exclude=events --exclude=wait \
    nothing-has-this "$mnt"

# Streams hold such a program up like a FIFO; interrupted, it goes, and nothing has happened.
status=0
timeout --signal=INT 1 cat "$mnt/$n/conf" "$mnt/$n/cons" "$mnt/$n/error" >/dev/null 2>&1 || status=$?
same $status 124 "exit status of a program that had to be interrupted"
same "$(machines)" "$before" "machines after it was interrupted"
rmdir "$mnt/$((m + 1))"
echo resume >"$mnt/$m/ctl"
same "$(guest $m 'echo $((13*13))')" 169 "the running machine after all that"
