#!/bin/sh
# SPDX-License-Identifier: MIT
# `step n` walks a real guest by so many instructions, and breakpoints stop it; afterwards it goes on
# as if nothing had been.
. "$(dirname "$0")/lib.sh"
mount_tree

reg() { sed -n "s/^$1 //p" "$mnt/$n/regs"; }
count() { sed -n 's/^instructions //p' "$mnt/$n/stats"; }
walked() { [ "$(count)" -gt $((before + 90000)) ] && [ "$(count)" -le $((before + 100000)) ]; }
now() { grep -q "^$1" "$mnt/$n/status"; }

# hits LINE: how often a breakpoint was hit.
hits() { sed -n "s/^$1 //p" "$mnt/$n/bp"; }
has_hits() { [ "$(hits "$1")" = "$2" ]; }
# A symbol of the guest's kernel, from its own table; needs a running shell.
symbol() { guest $n "sed -n 's/^\([0-9a-f]*\) . $1\$/0x\1/p' /proc/kallsyms"; }

for engine in jit interp; do
    n=$(new_vm engine=$engine)
    refused EBUSY "$mnt/$n/ctl" step
    start_vm $n
    refused EBUSY "$mnt/$n/ctl" 'step 5'

    # Computing, so that it does not halt.
    echo 'while :; do :; done' >"$mnt/$n/cons"
    await "$mnt/$n/log" 'while :; do :; done'
    echo pause >"$mnt/$n/ctl"
    in_time $patience "paused" now paused
    for bad in 'step 0' 'step one' 'step -1' 'step 1 2'; do
        refused EINVAL "$mnt/$n/ctl" "$bad"
    done

    # An exception counts as a step and is no instruction, so a walk may have fewer of these.
    before=$(count)
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        had=$(count)
        echo step >"$mnt/$n/ctl"
        in_time $patience "$engine: paused after a step" now paused # at once, unless it halted
        holds "$engine: a step is one instruction at most" test $(($(count) - had)) -le 1
    done
    holds "$engine: steps go on" test "$(count)" -gt "$before"
    before=$(count)
    echo 'step 100000' >"$mnt/$n/ctl"
    in_time $patience "$engine: a walk is done" walked
    in_time $patience "$engine: paused after a walk" now paused
    same "$(cut -d ' ' -f 5 "$mnt/$n/status")" "$(count)" "$engine: instructions in status"

    # A walk without an end is ended by pause.
    echo 'step 0xffffffffffffffff' >"$mnt/$n/ctl"
    in_time $patience "$engine: it walks" now running
    refused EBUSY "$mnt/$n/ctl" step
    echo pause >"$mnt/$n/ctl"
    in_time $patience "$engine: pause ends the walk" now paused
    before=$(count)
    same "$(count)" "$before" "$engine: instructions while paused"

    echo resume >"$mnt/$n/ctl"
    printf '\003' >"$mnt/$n/cons"
    where=$(guest $n 'echo ready')
    same "$where" ready "$engine: the shell is back"

    for bad in 'x' 'q 1' 'x 1 2' 'r 1 4097' 'r 0x100000000'; do
        refused EINVAL "$mnt/$n/bp" "$bad"
    done
    uname=$(symbol __ia32_sys_newuname)
    [ -n "$uname" ] || uname=$(symbol sys_newuname)
    line="x $uname 1"
    echo "$line" >"$mnt/$n/bp"
    same "$(hits "$line")" 0 "$engine: hits at first"
    # Not a number alone: the kernel's own lines have many.
    echo 'uname -r; echo went=$((7*191))=on' >"$mnt/$n/cons"
    in_time $patience "$engine: uname is stopped" has_hits "$line" 1
    same "$(reg eip)" "$uname" "$engine: where it stands"
    in_time $patience "$engine: paused at a breakpoint" now paused
    holds "$engine: events tell" timeout 5 grep -qm 1 " breakpoint $uname x" "$mnt/$n/events"
    lacks "$engine: the guest went on" grep -qa went=1337=on "$mnt/$n/log"
    echo step >"$mnt/$n/ctl"
    in_time $patience "$engine: a step past it" now paused
    lacks "$engine: the step was not done" test "$(reg eip)" = "$uname"
    # Its frame, which it will read and write.
    echo "rw $(reg esp) 4" >>"$mnt/$n/bp"
    same "$(wc -l <"$mnt/$n/bp")" 2 "$engine: breakpoints"
    echo resume >"$mnt/$n/ctl"
    in_time $patience "$engine: stopped at its frame" has_hits "rw .* 4" 1
    same "$(hits "$line")" 1 "$engine: it was passed"
    lacks "$engine: bp is cut to one byte" truncate -s 1 "$mnt/$n/bp"
    same "$(wc -l <"$mnt/$n/bp")" 2 "$engine: breakpoints after that"
    truncate -s 0 "$mnt/$n/bp"
    same "$(cat "$mnt/$n/bp")" "" "$engine: breakpoints cleared"
    echo resume >"$mnt/$n/ctl"
    await "$mnt/$n/log" went=1337=on
    same "$(guest $n 'echo $((3*111))')" 333 "$engine: the guest goes on"
    echo stop >"$mnt/$n/ctl"
    same "$(ended $n)" "stop 0" "$engine: the end"
done
