#!/bin/sh
# SPDX-License-Identifier: MIT
# The root over 9P as a file system, some minutes in PARTS: `cases`, what POSIX promises, case by case; `exercise`, random
# operations against a model in the three cache modes, on the private root and on a directory of the host, and programs that use
# and wear out file systems; `together`, guests and host in one directory; `killed`, a machine killed while it writes.
#     PARTS=cases CACHES=none ONLY=files_over_9p make test-long
#     PARTS=exercise OPERATIONS=100000 ONLY=files_over_9p make test-long
# The second is what the file system is held to; a run without OPERATIONS has fewer, and programs in one cache mode.
. "$(dirname "$0")/../e2e/lib.sh"
make -s --no-print-directory -C "$here/../.." BUILD="$build" debian-checks-root >&2 ||
    skip "there is no Debian root: its packages could not be had"
checks=$here/checks
mount_tree

# machine CACHE SHARE [key=value…]: a new one that is up, the checks at /mnt, SHARE, a directory of the host, at /srv; sets vm.
machine() {
    settings="'append=quiet rootflags=trans=virtio,version=9p2000.L,msize=512000,locktimeout=1,cache=$1'"
    share_=$2
    shift 2
    vm=$(new_vm mem=512M root="$build/guest/debian-checks" "$settings" "$@")
    mkdir -p "$share_"
    printf '%s\n' "bind -r '$checks' /mnt" "bind '$share_' /srv" start >"$mnt/$vm/ctl"
    up
}
up() {
    # shellcheck disable=SC1003
    within 120 has_text "$mnt/$vm/log" '\h:\w$ ' || fail "no prompt" # dash expands no prompt
}
# Its scratch layer goes with it, which takes some disks seconds.
power_off() {
    echo poweroff >"$mnt/$vm/cons"
    same "$(ended "$vm")" "poweroff 0" "the machine's end"
    rmdir "$mnt/$vm"
    in_time 120 "the machine is gone" test ! -e "$mnt/$vm"
}

# One seed and way to map files gives one tree, whatever is below it.
exercise() {
    operations=${OPERATIONS:-100000}
    for cache in ${CACHES:-loose mmap none}; do
        share=$work/share-$cache
        machine $cache "$share"
        maps=unmapped
        [ $cache != loose ] || maps=
        mkdir "$work/model-$cache"
        tree=$(python3 "$checks/exerciser.py" "$work/model-$cache" 5 $operations $maps | tail -n 1)
        begun=$(date +%s)
        for dir in /srv/tree /var/tree; do
            out=$(guest "$vm" "mkdir $dir && python3 /mnt/exerciser.py $dir 5 $operations $maps" 900) ||
                fail "cache=$cache, $dir: $out"
            same "$(echo "$out" | grep -v drop_caches | uniq)" "$tree" "cache=$cache, $dir: the tree of this seed"
        done
        same "$(python3 "$checks/exerciser.py" digest "$share/tree")" "$tree" "cache=$cache: what the host sees"
        echo "cache=$cache: $operations operations, twice: $(($(date +%s) - begun)) s"
        begun=$(date +%s)
        guest "$vm" "sh /mnt/tools.sh /srv $([ $cache != none ] || echo unmapped)" 900 >"$work/tools.out" || fail "cache=$cache: $(tail -n 5 "$work/tools.out")"
        same "$(tail -n 1 "$work/tools.out")" "all is well" "cache=$cache, a directory of the host: tools.sh"
        echo "cache=$cache: programs: $(($(date +%s) - begun)) s"
        if [ $cache = loose ]; then
            guest "$vm" "mkdir /var/t && mv /var/tree /var/t/ && sh /mnt/tools.sh /var/t" 900 >"$work/tools.out" ||
                fail "private root: $(tail -n 5 "$work/tools.out")"
        fi
        power_off
    done
}

# Two guests and the host write one directory at once: every line and every file is there, whole.
together() {
    share=$work/together
    machine none "$share"
    first=$vm
    machine mmap "$share"
    second=$vm
    lines=2000
    for n in 1 2; do
        eval "vm=\$$([ $n = 1 ] && echo first || echo second)"
        echo "python3 /mnt/together.py /srv guest$n $lines && echo 'done'=$n" >"$mnt/$vm/cons"
    done
    python3 "$checks/together.py" "$share" host $lines
    await "$mnt/$first/log" "done=1" 300
    await "$mnt/$second/log" "done=2" 300
    same "$(sort "$share/lines" | uniq -c | awk '$1 != 1 || NF != 4' | head -n 3)" "" "lines that are torn or twice"
    same "$(wc -l <"$share/lines")" $((3 * lines)) "lines appended"
    same "$(ls "$share/files" | wc -l)" $((3 * lines)) "files made"
    same "$(cat "$share/counter")" $((3 * 200)) "what was counted under a lock"
    vm=$first && power_off
    vm=$second && power_off
}

# Killed while it writes: what the guest was told is on the disk is there, and its private root opens again.
killed() {
    share=$work/killed
    machine loose "$share"
    guest "$vm" "echo kept >/var/kept; sync"
    echo "python3 /mnt/fsync.py /srv/records" >"$mnt/$vm/cons"
    await "$mnt/$vm/log" "synced 300" 120
    echo kill >"$mnt/$vm/ctl"
    in_time 10 "the machine is dead" sh -c "grep -q '^dead' '$mnt/$vm/status'"
    told=$(tr -d '\r' <"$mnt/$vm/log" | sed -n 's/^synced \([0-9]*\)$/\1/p' | tail -n 1)
    holds "at least $told records are on the host" test "$(wc -l <"$share/records")" -ge "$told"
    same "$(head -n "$told" "$share/records" | awk '$1 != NR || length($2) != 100' | head -n 1)" "" "records that are not whole"
    : >"$mnt/$vm/log"
    echo start >"$mnt/$vm/ctl"
    up
    same "$(guest "$vm" "cat /var/kept")" kept "the private root after the kill"
    power_off
}

cases() {
    . "$checks/cases.sh"
}
for part in ${PARTS:-cases together killed exercise}; do
    started=$(date +%s)
    $part
    echo "$part: $(($(date +%s) - started)) s"
done
