#!/bin/sh
# SPDX-License-Identifier: MIT
# The program of this folder under QEMU's TCG. What QEMU says otherwise than expected.txt is in qemu-differences, with
# the manual's section.
set -eu
cd "$(dirname "$0")"
for tool in nasm qemu-system-i386 awk; do
    command -v $tool >/dev/null || { echo "$tool is not installed" && exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
nasm -Werror -f bin -o "$work/pc" main.asm
# NX is offered by `max`.
status=0
timeout 120 qemu-system-i386 -accel tcg -cpu max -M pc -m 32 -nodefaults -display none -no-reboot \
    -serial "file:$work/serial" -kernel "$work/pc" -append skip=fatal >"$work/messages" 2>&1 || status=$?
if [ $status -ne 0 ]; then
    cat "$work/messages"
    echo "QEMU ended with status $status behind:" && tail -n 3 "$work/serial"
    exit 1
fi
tr -d '\r' <"$work/serial" | sed -n '/cases begin/,$p' >"$work/qemu"
awk -f compare.awk qemu-differences expected.txt "$work/qemu"
