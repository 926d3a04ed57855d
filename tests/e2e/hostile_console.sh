#!/bin/sh
# SPDX-License-Identifier: MIT
# A console that is flooded from either side loses nothing and holds nobody up.
. "$(dirname "$0")/lib.sh"
mount_tree

n=$(new_vm)
start_vm $n

# A megabyte in a hurry, with a reader that keeps up and one that reads nothing until the end.
background cat "$mnt/$n/cons" >"$work/cons"
exec 4<"$mnt/$n/cons"
guest $n "head -c 1000000 /dev/zero | tr '\\0' x; echo" >"$work/flood"
same "$(tr -dc x <"$work/flood" | wc -c)" 1000000 "bytes that came to log"
same "$(grep -c . "$work/flood")" 1 "lines of them"
same "$(head -c 200000 <&4 | wc -c)" 200000 "bytes that the slow reader has left"
exec 4<&-
same "$(guest $n 'seq 1 20000 | md5sum')" "$(seq 1 20000 | md5sum)" "checksum in the guest"
same "$(guest $n 'seq 1 20000' | md5sum)" "$(seq 1 20000 | md5sum)" "checksum of what came out"

# Input that the guest does not read fills a queue and is then refused, never waited for.
echo 'stty raw -echo; echo ready-$((1+1)); sleep 1000' >"$mnt/$n/cons"
await "$mnt/$n/log" ready-2
# The guest's own buffers come first: some 600 KB.
answers EAGAIN stuff "$mnt/$n/cons" 4000000
start=$(date +%s)
answers EAGAIN write "$mnt/$n/cons" hello # without O_NONBLOCK
took=$(($(date +%s) - start))
holds "the write did not wait: $took s" test $took -le 2
same "$(state $n)" running "state"

# While the console is stuffed the rest answers; the next start begins with an empty queue.
holds "regs answer" grep -q '^eip' "$mnt/$n/regs"
echo stop >"$mnt/$n/ctl"
same "$(ended $n)" "stop 0" "end"
start_vm $n
same "$(guest $n 'echo $((17*17))')" 289 "the machine after the next start"

# Serial ports, unread in the guest, take their 64 KiB as well and then refuse.
answers EAGAIN stuff "$mnt/$n/com2" 4000000

# Bytes that mean something to a terminal or to our own files go through as they are.
guest $n 'printf "\001\033[2Jnot\rtext\000\377%s\n" "#'"'"'" | od -An -tx1' >"$work/bytes"
same "$(tr -d ' \n' <"$work/bytes")" 011b5b324a6e6f740d7465787400ff23270a "bytes in the guest"
guest $n 'stty -opost; printf "<\001\033[2Jnot\rtext\000\377>"; stty opost; echo' >"$work/bytes"
holds "the same bytes in log" sh -c \
    'tail -c 300 "$0" | od -An -v -tx1 | tr -d " \n" | grep -q 3c011b5b324a6e6f740d7465787400ff3e' "$mnt/$n/log"
