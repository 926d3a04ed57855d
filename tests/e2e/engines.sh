#!/bin/sh
# SPDX-License-Identifier: MIT
# The machine is the same with either engine, and `stats` tells which one runs it.
. "$(dirname "$0")/lib.sh"
mount_tree

# Something of everything, the same wherever it runs.
sums='seq 1 300 | awk "{ s += \$1 * \$1; t = t sprintf(\"%.9f\", \$1 / 7) } END { print s, t }"'
digest='seq 1 20000 | md5sum; seq 1 20000 | sha256sum; seq 1 20000 | gzip -c | gunzip -c | sha1sum'

jit=$(new_vm append=quiet)
holds "the JIT is the default" grep -qx 'engine jit' "$mnt/$jit/conf"
interp=$(new_vm append=quiet)
echo 'engine interp' >"$mnt/$interp/conf"
start_vm "$jit"
start_vm "$interp"
same "$(guest "$jit" "$sums")" "$(guest "$interp" "$sums")" "sums and quotients"
same "$(guest "$jit" "$digest")" "$(guest "$interp" "$digest")" "digests"
same "$(guest "$jit" "seq 1 20000 | md5sum")" "$(seq 1 20000 | md5sum)" "a digest, and the host's"

holds "stats of the JIT count blocks" grep -q '^jit_blocks [1-9]' "$mnt/$jit/stats"
lacks "stats of the interpreter do" grep -q '^jit_' "$mnt/$interp/stats"

# The other engine, at the next start.
echo stop >"$mnt/$jit/ctl"
same "$(ended "$jit")" "stop 0" "end"
echo 'engine interp' >"$mnt/$jit/conf"
start_vm "$jit"
lacks "it still is the JIT" grep -q '^jit_' "$mnt/$jit/stats"
refused EINVAL "$mnt/$(new_vm)/conf" 'engine steam' 'jit or interp'
