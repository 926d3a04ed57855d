#!/bin/sh
# SPDX-License-Identifier: MIT
# The root over 9P as a file system, some minutes in PARTS: `cases`, what POSIX promises, case by case; `together`, guests and host
# in one directory; `killed`, a machine killed while it writes; `exercise`, random operations against a model in the three cache
# modes, on the private root and on a directory of the host, and programs that use and wear out file systems.
#
# What the file system is held to is 100,000 operations in each mode, and the programs in each: a quarter of an hour, with FULL set.
# Otherwise there are 10,000, and the programs run on each kind of root in the mode that it gets by default.
#     FULL=1 PARTS=exercise LONG=1 ONLY=files_over_9p sh tests/run.sh
#     CACHES=none PARTS=cases LONG=1 ONLY=files_over_9p sh tests/run.sh
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

# programs DIR [unmapped]: with the tree that the exerciser has left in it.
programs() {
    begun=$(date +%s)
    guest "$vm" "sh /mnt/tools.sh $*" 900 >"$work/tools.out" || fail "cache=$cache, $1: $(tail -n 5 "$work/tools.out")"
    same "$(tail -n 1 "$work/tools.out")" "all is well" "cache=$cache, $1: tools.sh"
    echo "cache=$cache, $1: programs: $(($(date +%s) - begun)) s"
}

# One seed and way to map files gives one tree, whatever is below it.
exercise() {
    operations=${OPERATIONS:-10000}
    [ -z "${FULL:-}" ] || operations=100000
    for cache in ${CACHES:-loose mmap none}; do
        share=$work/share-$cache
        machine $cache "$share"
        maps=unmapped
        [ $cache != loose ] || maps=
        mkdir "$work/model-$cache"
        tree=$(python3 "$checks/exerciser.py" "$work/model-$cache" 5 "$operations" $maps | tail -n 1)
        for dir in /srv/tree /var/t/tree; do
            begun=$(date +%s)
            out=$(guest "$vm" "mkdir -p $dir && python3 /mnt/exerciser.py $dir 5 $operations $maps" 900) ||
                fail "cache=$cache, $dir: $out"
            same "$(echo "$out" | grep -v drop_caches | uniq)" "$tree" "cache=$cache, $dir: the tree of this seed"
            echo "cache=$cache, $dir: $operations operations: $(($(date +%s) - begun)) s"
        done
        same "$(python3 "$checks/exerciser.py" digest "$share/tree")" "$tree" "cache=$cache: what the host sees"
        case $cache in
        loose) programs /var/t ;;
        mmap) programs /srv ;;
        esac
        [ -z "${FULL:-}" ] || case $cache in
        loose) programs /srv ;;
        none) programs /srv unmapped ;;
        esac
        power_off
    done
}

# Two guests and the host write one directory at once: every line that they append and every file is there, whole.
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
