#!/bin/sh
# SPDX-License-Identifier: MIT
# Boots the guest's kernel and root under QEMU, as a machine of known behaviour, and types into its shell.
#
# usage: guest_test.sh KERNEL ROOT_DIR
#
# What fails here is the guest's fault and not our emulator's. The processor is cut down to what ours
# has, and the root is a copy, since the guest writes to it.
set -eu

[ $# = 2 ] || { echo "usage: $0 KERNEL ROOT_DIR" >&2; exit 2; }
kernel=$1
base=$2
if ! command -v qemu-system-i386 >/dev/null; then
    echo "qemu-system-i386, the other machine to boot this guest on, is not installed"
    exit 77
fi

work=$(mktemp -d)
root=$work/root
qemu=
reader=
cleanup() {
    for job in $qemu $reader; do kill "$job" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
cp -a "$base" "$root"

fail() {
    echo "FAIL guest_test: $*; the console said:" >&2
    tail -n 40 "$work/console" >&2
    cat "$work/qemu.log" >&2
    exit 1
}

# Tries "$@" every tenth of a second until it succeeds. Gives up after two minutes, which only a
# broken guest or a very busy host needs.
in_time() {
    tries=0
    until "$@"; do
        [ $tries -lt 1200 ] || return 1
        tries=$((tries + 1))
        sleep 0.1
    done
}
ended() { ! kill -0 "$qemu" 2>/dev/null; }
said() { grep -q "^$1" "$work/console"; }
said_or_ended() { said "$1" || ended; }

start() {
    echo "guest_test: $1"
    rm -f "$work"/*.in "$work"/*.out
    mkfifo "$work/con.in" "$work/con.out" "$work/mon.in" "$work/mon.out"
    : >"$work/console"
    cat "$work/con.out" >"$work/console" &
    reader=$!
    qemu-system-i386 -M pc,accel=tcg -m 128 -nodefaults -display none -no-reboot \
        -cpu pentium2,-mmx,-fxsr,-mce,-mca,-mtrr,-pat,-pse36,+apic \
        -kernel "$kernel" -append "root=ennead rootfstype=9p rw init=/init quiet ennead.vm=7 \
rootflags=trans=virtio,version=9p2000.L,msize=131072,cache=none console=hvc0" \
        -fsdev "local,id=root,path=$root,security_model=none" \
        -device virtio-9p-pci,fsdev=root,mount_tag=ennead,disable-legacy=on \
        -device virtio-serial-pci,disable-legacy=on -device virtconsole,chardev=con \
        -device virtio-rng-pci,disable-legacy=on \
        -chardev "pipe,id=con,path=$work/con" -chardev "pipe,id=mon,path=$work/mon" \
        -mon chardev=mon,mode=readline >"$work/qemu.log" 2>&1 &
    qemu=$!
    in_time said_or_ended 'vm7:~# ' && said 'vm7:~# ' || fail "no prompt"
}

# Types a line; says what must then stand on the console at the beginning of a line.
type_line() { printf '%s\n' "$1" >"$work/con.in"; }
answer() { in_time said "$1" || fail "no answer '$1'"; }

# The machine must go away by itself.
must_end() {
    in_time ended || fail "$1 did not end the machine"
    wait "$qemu" || fail "qemu failed"
    qemu=
    kill "$reader" 2>/dev/null || true
    wait "$reader" 2>/dev/null || true
    reader=
}

start "shell answers, reaches its root, has job control"
type_line 'echo value=$((6 * 7))'
answer 'value=42'
type_line 'echo made in the guest >/made; sync; echo done=$?'
answer 'done=0'
[ "$(cat "$root/made")" = "made in the guest" ] || fail "the guest's file is not in its root"
type_line 'grep -c . /made /etc/hosts; date +%Y-is-the-year'
answer "$(date -u +%Y)-is-the-year"
type_line 'tty; sleep 1000'
answer '/dev/hvc0'
printf '\003' >"$work/con.in" # interrupts sleep if the shell has a terminal and job control
type_line 'echo interrupted=$?'
answer 'interrupted=130'
type_line '(sleep 0.1 &); sleep 1; echo zombies=$(grep -l "^State:.Z" /proc/[0-9]*/status | wc -l)'
answer 'zombies=0'
type_line 'sleep 1000 & poweroff'
must_end "poweroff"

start "power button"
type_line 'sh -c "trap : HUP TERM; while :; do sleep 1; done" & echo stubborn=yes'
answer 'stubborn=yes'
echo system_powerdown >"$work/mon.in"
must_end "the power button"

start "reboot (QEMU is told to leave instead)"
type_line 'reboot'
must_end "reboot"

start "end of the shell"
type_line 'exit'
must_end "the end of the shell"

[ ! -e "$base/made" ] || fail "the base root was written to"
echo "PASS guest_test"
