#!/bin/sh
# SPDX-License-Identifier: MIT
# What the JIT has translated can be read: in numbers, as a list, and block by block.
. "$(dirname "$0")/lib.sh"
mount_tree

jit=$mnt/$(new_vm append=quiet)/jit
n=$(basename "${jit%/jit}")
last_error() { grep '^[0-9]' "$mnt/$n/error" | tail -n 1; }

# Before there is a process.
for file in stats blocks block/0x00001000; do
    same "$(call read "$jit/$file")" EBUSY "$file of a machine that was not started"
    holds "error says why: $(last_error)" sh -c "tail -n 1 '$mnt/$n/error' | grep -q 'EBUSY jit/block.*no process\|EBUSY jit/stats.*no process'"
done
same "$(ls "$jit/block")" "" "names in jit/block"

start_vm "$n"
stat_of() { sed -n "s/^$1 //p" "$work/stats"; }
cat "$jit/stats" >"$work/stats"
for name in blocks blocks_alive block_instructions links code_memory code_memory_bound \
    guest_bytes_per_block instructions_per_block host_bytes_per_block translation_ns_per_block \
    description_bytes interpreted_cpuid; do
    holds "$name is above 0 in stats" grep -qE "^$name ([1-9]|0\.[1-9])" "$work/stats"
done
lacks "a line is no name and number" grep -qvE '^[a-z0-9_]+ [0-9]+(\.[0-9])?$' "$work/stats"
holds "blocks alive are fewer than were made" test "$(stat_of blocks_alive)" -le "$(stat_of blocks)"
lacks "the machine's stats are long" grep -q '^jit_interpreted_' "$mnt/$n/stats"

# The list. While the machine is paused nothing comes or goes.
echo pause >"$mnt/$n/ctl"
cat "$jit/blocks" >"$work/blocks"
cat "$jit/stats" >"$work/stats"
same "$(wc -l <"$work/blocks")" "$(stat_of blocks_alive)" "lines in blocks"
line='0x[0-9a-f]{8} 0x[0-9a-f]{8} +[0-9]+ +[0-9]+ 0x[0-9a-f]{12} +[0-9]+ [su] (-|[a-z,]+)'
lacks "a line of blocks is otherwise" grep -qvxE "$line" "$work/blocks"
holds "blocks are sorted" env LC_ALL=C sort -s -c -k 1,1 "$work/blocks"
cut -d ' ' -f 1 "$work/blocks" | uniq >"$work/eips"
ls "$jit/block" >"$work/listed"
holds "the directory lists the same" cmp "$work/eips" "$work/listed"
find "$jit/block" -type f | sed 's|.*/||' >"$work/listed"
holds "find(1) finds the same" cmp "$work/eips" "$work/listed"

# Every 200th address: a listing has all of the host bytes, and says that they are as they would be made now.
python3 - "$jit/block" "$work/blocks" <<'PY'
import re, sys
directory, blocks = sys.argv[1:]
sizes = {}
for line in open(blocks):
    words = line.split()
    sizes.setdefault(words[0], []).append(int(words[5]))
chosen = list(sizes)[::200]
for eip in chosen:
    text = open(f"{directory}/{eip}").read()
    assert f"# block {eip}, " in text and f"\n{eip}  " in text, f"{eip}:\n{text}"
    assert "made anew" not in text, text
    host = sum(len(bytes) // 2 for bytes in re.findall(r"^   [ ~]\+[0-9a-f]{4}  ([0-9a-f]+)", text, re.M))
    assert host == sum(sizes[eip]), f"{host} bytes of {sum(sizes[eip])}:\n{text}"
    assert max(map(len, text.splitlines())) <= 120, text
print(len(chosen), "listings")
PY

same "$(call read "$jit/block/0x00000001")" ENOENT "a block that there is not"
same "$(call read "$jit/block/nonesuch")" ENOENT "a name that is no address"
answers EPERM write "$jit/stats" 0
lacks "a block can be removed" rm -f "$jit/block/$(head -n 1 "$work/eips")" 2>/dev/null
echo resume >"$mnt/$n/ctl"
same "$(guest "$n" 'echo $((6*7))')" 42 "the guest goes on"

# After the machine is off they are there still; then the process ends.
echo stop >"$mnt/$n/ctl"
same "$(ended "$n")" "stop 0" "end"
holds "blocks can be read of a machine that is off" grep -qE "$line" "$jit/blocks"
echo kill >"$mnt/$n/ctl"
in_time $patience "the process ends" sh -c "! cat '$jit/stats' 2>/dev/null"

# The interpreter translates nothing.
echo 'engine interp' >"$mnt/$n/conf"
start_vm "$n"
for file in stats blocks block/0x00001000; do
    : >"$mnt/$n/error"
    same "$(call read "$jit/$file")" EOPNOTSUPP "$file with the interpreter"
    holds "error says why: $(last_error)" grep -q 'EOPNOTSUPP jit/.*interp' "$mnt/$n/error"
done
same "$(ls "$jit/block")" "" "names in jit/block"
