#!/bin/sh
# SPDX-License-Identifier: MIT
# Includes go one way (docs/design.md): each line below names files and what they must not include.
set -eu
cd "$(dirname "$0")/.."
bad=0
forbid() { # files… -- pattern
    files=
    while [ "$1" != -- ]; do files="$files $1" && shift; done
    if grep -nE "^ *# *include *[<\"]($2)" $files; then
        echo "^ not allowed here: $2"
        bad=1
    fi
}
all() { find "$@" -name '*.h' -o -name '*.cpp' -o -name '*.inc' | sort; }
not() { grep -vE "$1"; }

forbid $(all vmcore) -- 'synthfs|p9|srv|boost/asio|fuse'
forbid $(all synthfs) -- 'vmcore|p9|srv|boost/asio'
forbid $(all p9) -- 'vmcore|srv|fuse'
forbid $(all p9 | not '^p9/stream') -- 'boost/asio'
forbid $(all synthfs | not '^synthfs/fuse/') -- 'fuse'
forbid $(all srv) -- 'fuse_|fuse3|fuse\.h'
forbid $(all vmcore synthfs p9 srv | not "^vmcore/cpu/jit/listing\.cpp") -- 'Zydis'
# Inside vmcore: machine → virtio → devices → mem → types, machine → cpu → mem.
forbid $(all vmcore/mem) -- 'vmcore/(cpu|devices|virtio|machine)'
forbid $(all vmcore/devices) -- 'vmcore/(cpu|virtio|machine)'
forbid $(all vmcore/virtio) -- 'vmcore/(cpu|machine)'
forbid $(all vmcore/cpu) -- 'vmcore/(virtio|machine)'
forbid $(all vmcore/cpu/decode) -- 'vmcore/cpu/(interp|mmu|jit)'
forbid $(all vmcore/cpu/interp) -- 'vmcore/cpu/jit'
exit $bad
