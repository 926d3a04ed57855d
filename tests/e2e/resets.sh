#!/bin/sh
# SPDX-License-Identifier: MIT
# Every way in which Linux resets a PC: ACPI's register, the keyboard controller, port 0xcf9, a triple fault,
# and the BIOS's entry.
. "$(dirname "$0")/lib.sh"
mount_tree

# The shell may prompt once more before the reset, so it is the prompt after the second banner that counts.
booted_again() {
    awk -v prompt="$(prompt $n)" '/Linux version/ { boots++ }
        boots == 2 && index($0, prompt) { found = 1 }
        END { exit !found }' "$mnt/$n/log"
}

for boot in direct bios; do
    for how in acpi kbd pci triple bios; do
        n=$(new_vm boot=$boot "append='quiet reboot=$how'")
        start_vm $n
        echo reboot >"$mnt/$n/cons"
        in_time $patience "boot $boot after reboot=$how" booted_again
        same "$(guest $n 'echo $((7*8))')" 56 "the guest after reboot=$how"
        echo destroy >"$mnt/$n/ctl"
    done
done
