#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: programs.sh DIR PERCENT OPTIONS…
# Compiles the benchmark programs of DIR with gcc and these options, runs each, and prints what it computed.
set -eu
dir=$1 percent=$2
shift 2
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for source in "$dir"/integer/*.c "$dir"/float/*.c; do
    name=$(basename "$source" .c)
    gcc -std=gnu11 -Wall -Werror "$@" -I "$dir" -o "$out/$name" "$source" "$dir/main.c" -lm
    echo "$name $("$out/$name" "$percent" | cut -d ' ' -f 2)"
done
