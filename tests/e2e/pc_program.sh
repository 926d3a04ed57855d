#!/bin/sh
# SPDX-License-Identifier: MIT
# The protected-mode program of tests/pc says the same on both engines, and what the Intel manual says
# (tests/pc/expected.txt).
. "$(dirname "$0")/lib.sh"
command -v nasm >/dev/null || skip "nasm is not installed"
pc=$here/../pc
nasm -Werror -f bin -I "$pc/" -o "$work/pc" "$pc/main.asm"
mount_tree

for engine in jit interp; do
    n=$(new_vm mem=32M engine=$engine)
    echo "kernel $work/pc" >"$mnt/$n/conf"
    echo start >"$mnt/$n/ctl"
    same "$(ended "$n")" "poweroff 0" "end on $engine"
    tr -d '\r' <"$mnt/$n/log" >"$work/$engine"
    # Lost lines would be no fault of the CPU's.
    same "$(sed -n '1p;$p' "$work/$engine" | tr '\n' ' ')" "cases begin cases end " "first and last line"
    lacks "a case's second run on $engine differs from its first" grep ' | but then ' "$work/$engine"
    diff -u "$pc/expected.txt" "$work/$engine" || fail "$engine differs from expected.txt"
done
