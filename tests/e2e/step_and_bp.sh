#!/bin/sh
# SPDX-License-Identifier: MIT
# `step n` walks a real guest by so many instructions, and leaves it as it would have gone on.
. "$(dirname "$0")/lib.sh"
mount_tree

count() { sed -n 's/^instructions //p' "$mnt/$n/stats"; }
walked() { [ "$(count)" -gt $((before + 90000)) ] && [ "$(count)" -le $((before + 100000)) ]; }
now() { grep -q "^$1" "$mnt/$n/status"; }

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
    same "$(guest $n 'echo $((3*111))')" 333 "$engine: the guest goes on"
    echo stop >"$mnt/$n/ctl"
    same "$(ended $n)" "stop 0" "$engine: the end"
done
