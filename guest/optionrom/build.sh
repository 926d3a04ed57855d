#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build.sh source directory: assembles an option ROM with its
# checksums, to directory/optionrom.hex as an array of C.
set -eu
[ $# = 2 ] || { sed -n '3,4s/^# //p' "$0" >&2; exit 2; }
out=$2/optionrom
as --32 -I "$(dirname "$1")" -o "$out.o" "$1"
ld -m elf_i386 -e 0 -Ttext 0 --oformat binary -o "$out.raw" "$out.o"
# Byte 9 of the Plug and Play header (at 0x20, 32 bytes) and the last byte make their parts sum up to 0.
od -An -v -tu1 "$out.raw" | awk '
    { for (i = 1; i <= NF; i++) byte[n++] = $i }
    function fix(from, to, at,   sum, i) {
        for (i = from; i < to; i++) sum += byte[i]
        byte[at] = (byte[at] + 256 - sum % 256) % 256
    }
    END {
        fix(32, 64, 41)
        fix(0, n, n - 1)
        print "const unsigned char optionrom[] = {"
        for (i = 0; i < n; i++) printf "%d,%s", byte[i], i % 20 == 19 ? "\n" : ""
        print "};"
    }' >"$out.hex.new"
mv "$out.hex.new" "$out.hex"
rm "$out.o" "$out.raw"
