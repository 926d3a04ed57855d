#!/bin/sh
# SPDX-License-Identifier: MIT
# `seed` determines the bytes of the guest's entropy device.
. "$(dirname "$0")/lib.sh"
mount_tree

refused EINVAL "$mnt/conf" 'seed none'
same "$(sed -n '/^seed /p' "$mnt/conf")" "seed ''" "the default"
# The guest's kernel takes some for itself, so where a reader begins may differ by a few hundred.
bytes='head -c 4096 /dev/hwrng | od -An -v -tx1 | tr -d " \n"; echo'
a=$(new_vm seed=1) b=$(new_vm seed=0x1) c=$(new_vm seed=2) d=$(new_vm)
for n in $a $b $c $d; do echo start >"$mnt/$n/ctl"; done
for n in $a $b $c $d; do
    await "$mnt/$n/log" "$(prompt $n)"
    guest $n "$bytes" >"$work/bytes.$n"
    same "$(wc -c <"$work/bytes.$n")" 8193 "digits of machine $n"
done
middle=$(cut -c 4097-4160 "$work/bytes.$a")
holds "the same seed gives the same bytes" grep -q "$middle" "$work/bytes.$b"
lacks "another seed gives the same bytes" grep -q "$middle" "$work/bytes.$c"
lacks "the host gives the same bytes" grep -q "$middle" "$work/bytes.$d"

# From the beginning at each reset.
: >"$mnt/$a/log"
echo reset >"$mnt/$a/ctl"
await "$mnt/$a/log" "$(prompt $a)"
guest $a "$bytes" >"$work/again"
holds "a reset begins them anew" grep -q "$middle" "$work/again"
