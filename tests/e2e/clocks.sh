#!/bin/sh
# SPDX-License-Identifier: MIT
# The PIT, the APIC timer, the TSC, the ACPI PM timer and the RTC go as fast as the host's clock, within 0.1 % over a
# minute that is idle at first and busy then; and none of them goes on while the machine is paused.
. "$(dirname "$0")/lib.sh"
command -v nasm >/dev/null || skip "nasm is not installed"
nasm -Werror -f bin -o "$work/clocks" "$here/../pc/clocks.asm"
mount_tree

n=$(new_vm mem=32M)
echo "kernel $work/clocks" >"$mnt/$n/conf"
echo start >"$mnt/$n/ctl"
await "$mnt/$n/log" 'clocks ready'
seconds=60
busy_second_half() {
    sleep $((seconds / 2))
    for core in $(seq "$(nproc)"); do
        timeout $((seconds / 2)) sh -c 'while :; do :; done' &
    done
    wait
}
background busy_second_half
python3 -I -S "$here/clocks.py" "$mnt/$n" $seconds || fail "clocks of the guest are wrong"
echo q >"$mnt/$n/com1"
same "$(ended "$n")" "poweroff 0" "end"
