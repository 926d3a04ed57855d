#!/bin/sh
# SPDX-License-Identifier: MIT
# SeaBIOS and our option ROM: the kernel of the conf boots as it does directly, the boot menu is read and
# answered through com1, and another ROM can be put in SeaBIOS's place.
. "$(dirname "$0")/lib.sh"
mount_tree

# rom FILE SIZE: a ROM that says "own rom" on COM1 and halts. It is entered at its last 16 bytes, and runs on
# from its last 64 KiB.
rom() {
    python3 -I -S - "$1" "$2" <<'END'
import sys
code = b"\xba\xfb\x03\xb0\x03\xee"                        # mov $0x3fb,%dx; mov $3,%al; out %al,%dx
code += b"\xba\xf8\x03"                                   # mov $0x3f8,%dx
for c in b"own rom\r\n":
    code += bytes((0xb0, c, 0xee))                        # mov $c,%al; out %al,%dx
code += b"\xfa\xf4\xeb\xfd"                               # cli; 1: hlt; jmp 1b
rom = bytearray(b"\xf4" * int(sys.argv[2]))
rom[-0x10000:-0x10000 + len(code)] = code
rom[-16:-11] = b"\xea\x00\x00\x00\xf0"                    # ljmp $0xf000,$0
open(sys.argv[1], "wb").write(rom)
END
}
banners() { grep -ac 'Linux version' "$mnt/$n/log"; }
booted_again() { [ "$(banners)" = $((boots + 1)) ] && [ "$(grep -aoF "$(prompt $n)" "$mnt/$n/log" | grep -c .)" -gt "$had" ]; }

n=$(new_vm boot=bios)
holds "there is a BIOS by default" test -s "$(sed -n 's/^bios //p' "$mnt/$n/conf")"
start_vm $n
has_log() { holds "log has '$1'" has_text "$mnt/$n/log" "$1"; }
has_log 'SeaBIOS (version'
has_log 'Booting from ROM'
has_log 'PCI: Using ACPI for IRQ routing'
has_log 'ACPI: button: Power Button'
lacks "the debug log comes unasked" has_text "$mnt/$n/log" 'Found QEMU fw_cfg'
lacks "SeaBIOS waits for a key though there is no choice" has_text "$mnt/$n/log" 'Press ESC'
# The memory map is the BIOS's: it keeps its tables at the end of RAM.
has_log '[mem 0x0000000000000000-0x000000000009fbff] usable'
holds "the end of RAM is the BIOS's" grep -qa 'mem 0x0000000007ff[0-9a-f]*-0x0000000007ffffff\] reserved' "$mnt/$n/log"
same "$(guest $n 'cat /proc/cmdline')" "$(
    m=$(new_vm)
    start_vm $m
    guest $m 'cat /proc/cmdline' | sed "s/ennead.vm=$m/ennead.vm=$n/"
    echo destroy >"$mnt/$m/ctl"
)" "command line, through the option ROM and directly"
same "$(guest $n 'sleep 1; echo $((6*7))')" 42 "a guest with timers"

# Reset and panic as in a direct boot.
boots=$(banners) had=$(grep -aoF "$(prompt $n)" "$mnt/$n/log" | grep -c .)
echo reboot >"$mnt/$n/cons"
in_time $patience "boot after reboot typed in the guest" booted_again
boots=$(banners) had=$(grep -aoF "$(prompt $n)" "$mnt/$n/log" | grep -c .)
echo reset >"$mnt/$n/ctl"
in_time $patience "boot after reset" booted_again
echo 'echo c >/proc/sysrq-trigger' >"$mnt/$n/cons"
same "$(ended $n)" "panic 0" "end by a panic"
start_vm $n
echo powerdown >"$mnt/$n/ctl"
same "$(ended $n)" "poweroff 0" "end by the power button"

# What is typed while the BIOS is at work is for the shell.
: >"$mnt/$n/log"
echo start >"$mnt/$n/ctl"
echo 'echo typed $((20+3)) ahead; poweroff' >"$mnt/$n/cons"
same "$(ended $n)" "poweroff 0" "end by what was typed ahead"
has_log 'typed 23 ahead'

# The interpreter, least and much memory, the debug log.
for conf in 'engine=interp' 'mem=24M' 'mem=3G' 'biosdebug=on'; do
    m=$(new_vm boot=bios append=quiet "$conf")
    start_vm $m
    same "$(guest $m 'echo $((3*5))')" 15 "a guest with $conf"
    if [ "$conf" = biosdebug=on ]; then
        for line in 'Found QEMU fw_cfg' 'qemu/e820: addr 0x0000000000000000 len 0x0000000008000000 [RAM]' \
            'Running option rom at c000:0003'; do
            holds "debug log has '$line'" has_text "$mnt/$m/log" "$line"
        done
        # SeaBIOS says some things in both places at once, character by character: lines are whole nevertheless.
        same "$(tr -d '\r' <"$mnt/$m/log" | grep -aco 'SeaBIOS (version [^ ]*)$')" 3 "whole lines that say its version"
        holds "a whole line of the debug log" sh -c "tr -d '\r' <'$mnt/$m/log' | grep -aqx 'Booting from ROM\.\.\.'"
        # The screen is cleared before SeaBIOS gets to the last full stop.
        holds "a line of the screen" sh -c "tr -d '\r' <'$mnt/$m/log' | grep -aqx 'Booting from ROM\.\.'"
    fi
    echo destroy >"$mnt/$m/ctl"
done

# An initrd of two parts, which find their way through the option ROM.
python3 -I -S - "$build/guest/root/bin/busybox" "$work" <<'END'
import sys
def archive(path, files):
    out = bytearray()
    for ino, (name, mode, data) in enumerate(files + [("TRAILER!!!", 0, b"")]):
        fields = [ino + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out += b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    open(path, "wb").write(out)
busybox, work = sys.argv[1:]
init = b"""#!/busybox sh
/busybox mkdir /proc
/busybox mount -t proc proc /proc
/busybox cat /message /proc/cmdline >/dev/console
/busybox poweroff -f
"""
archive(work + "/one", [("busybox", 0o100755, open(busybox, "rb").read()), ("init", 0o100755, init),
                        ("dev", 0o40755, b"")])
archive(work + "/two", [("message", 0o100644, b"from the second part\n")])
END
for way in bios direct; do
    m=$(new_vm boot=$way)
    printf '%s\n' "initrd '$work/one' $work/two" 'cmdline console=ttyS0 rdinit=/init quiet of=initrd' >"$mnt/$m/conf"
    echo start >"$mnt/$m/ctl"
    same "$(ended $m)" "poweroff 0" "end of an initrd's own init, boot $way"
    holds "both parts were there" has_text "$mnt/$m/log" 'from the second part'
    holds "so was the command line" has_text "$mnt/$m/log" 'of=initrd'
    echo destroy >"$mnt/$m/ctl"
done

# What does not fit is found by the option ROM, which asks the BIOS how much memory there is.
m=$(new_vm boot=bios mem=24M "initrd=$work/large")
truncate -s 40M "$work/large"
echo start >"$mnt/$m/ctl"
await "$mnt/$m/log" 'Ennead: not enough memory for the kernel or its initrd'
await "$mnt/$m/log" 'No bootable device'
echo destroy >"$mnt/$m/ctl"

# The boot menu, through com1.
m=$(new_vm boot=bios bootmenu=on)
echo start >"$mnt/$m/ctl"
await "$mnt/$m/log" 'Press ESC for boot menu'
printf '\033' >"$mnt/$m/com1"
await "$mnt/$m/log" 'Select boot device:'
await "$mnt/$m/log" '1. Ennead: kernel'
lacks "the kernel boots before it is chosen" has_text "$mnt/$m/log" 'Booting from ROM'
printf 1 >"$mnt/$m/com1"
await "$mnt/$m/log" "$(prompt $m)"
same "$(guest $m 'echo $((4*5))')" 20 "the guest after the menu"
# And at the console, where firmware is given what is typed once it waits for it.
echo stop >"$mnt/$m/ctl"
same "$(ended $m)" "stop 0" "end"
: >"$mnt/$m/log"
echo start >"$mnt/$m/ctl"
await "$mnt/$m/log" 'Press ESC for boot menu'
printf '\033' >"$mnt/$m/cons"
await "$mnt/$m/log" 'Select boot device:'
echo destroy >"$mnt/$m/ctl"

# Other ROMs.
for size in 65536 131072 1048576; do
    rom "$work/rom" $size
    m=$(new_vm boot=bios "bios=$work/rom")
    echo start >"$mnt/$m/ctl"
    await "$mnt/$m/log" 'own rom'
    echo stop >"$mnt/$m/ctl"
    same "$(ended $m)" "stop 0" "end of a ROM of $size bytes"
    echo destroy >"$mnt/$m/ctl"
done
m=$(new_vm boot=bios)
for size in 0 61440 65537 1052672; do
    truncate -s $size "$work/rom"
    echo "bios $work/rom" >"$mnt/$m/conf"
    refused EINVAL "$mnt/$m/ctl" start '64K to 1M'
done
echo "bios $work/missing" >"$mnt/$m/conf"
refused ENOENT "$mnt/$m/ctl" start "$work/missing"
refused EINVAL "$mnt/$m/conf" 'bios rom' relative
refused EINVAL "$mnt/$m/conf" 'bootmenu maybe' 'off, choice or on'
refused EINVAL "$mnt/$m/conf" 'biosdebug maybe' 'on or off'
printf '%s\n' bios "kernel $work/one" >"$mnt/$m/conf"
refused ENOEXEC "$mnt/$m/ctl" start 'cpio archive'
