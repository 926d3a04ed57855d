#!/bin/sh
# SPDX-License-Identifier: MIT
# The server's limits: how many machines there can be, and how long one stays that nobody touches.
. "$(dirname "$0")/lib.sh"
mount_tree

same "$(head -n 2 "$mnt/ctl")" "cap 1024
reap 60s" "limits at first"
cat "$mnt/ctl" >"$work/settings"
printf 'cap 2\ndefault mem 64M\n' >"$mnt/ctl"
n=$(new_vm)
holds "the default holds for a new machine" grep -qx 'mem 64M' "$mnt/$n/conf"
mkdir "$mnt/web"
answers ENOSPC mkdir "$mnt/more"
same "$(call read "$mnt/new")" ENOSPC "new over the cap"
explained ENOSPC "$mnt/new"
holds "stats count what was refused" grep -qx 'refused 2' "$mnt/stats"
same "$(ls "$mnt" | grep -c '^[0-9]')" 2 "machines"
for bad in 'cap -1' 'cap' 'reap 5m' 'default nonesuch 1' 'default kernel some/path'; do
    refused EINVAL "$mnt/ctl" "$(printf 'cap 9\n%s' "$bad")"
    same "$(head -n 1 "$mnt/ctl")" "cap 2" "cap after '$bad'"
done

# The one of new goes, that with a name stays.
echo 'reap 10ms' >"$mnt/ctl"
in_time $patience "machine $n is gone" sh -c "! [ -e '$mnt/$n' ]"
holds "web is there" test -d "$mnt/web"
holds "stats count it" grep -qx 'reaped 1' "$mnt/stats"
cat "$work/settings" >"$mnt/ctl"
holds "settings written back are as they were" cmp "$work/settings" "$mnt/ctl"

# A host that gives no memory: whatever it is that there is not enough for, start says so at once.
if command -v prlimit >/dev/null; then
    size=$(awk '$1 == "VmSize:" { print $2 * 1024 }' "/proc/$server/status")
    n=$(new_vm mem=64M)
    for spare in 300 200 100 60 40 30 25 20 15; do
        prlimit --pid "$server" --as=$((size + spare * 1024 * 1024)):
        timeout 5 sh -c 'echo start >"$1"' - "$mnt/$n/ctl" 2>/dev/null && fail "it starts with $spare MB"
        explained ENOMEM "$mnt/$n/ctl" "the host has no memory for "
    done
    prlimit --pid "$server" --as=unlimited:
    start_vm $n
    echo stop >"$mnt/$n/ctl"
fi
