# SPDX-License-Identifier: MIT
# A part of files_over_9p.sh, which sources it: what POSIX promises of files, case by case, on the private root and on a directory of
# the host, in the three cache modes; and what host and guests see of each other.
# shellcheck shell=sh disable=SC2154

# What the guest must not leave on the host: device nodes, set-ID files, and sparse files that are not.
nothing_odd_in() {
    same "$(find "$1" \( -type b -o -type c \) -o -type f -perm /7000 | head -n 3)" "" "device nodes and set-ID files in $1"
    holds "sparse files are sparse in $1" test "$(du -sm "$1" | cut -f 1)" -lt 100
}

requests() { sed -n 's/^9p_requests //p' "$mnt/$vm/stats"; }

# listed DIR: the requests that listing it takes.
listed() {
    before=$(requests)
    # The shell itself, since with cache=none to run a program takes hundreds.
    same "$(guest "$vm" "cd /many/$1; set -- *; echo \$#; set --; cd /")" "$1" "cache=$cache: names"
    echo $(($(requests) - before))
}

# What the host does shows at once; to cache=loose, which is for files that nobody else changes, once it has forgotten.
host_changes_show() {
    seen="cat c 2>&1; stat -c %s c 2>&1; ls d 2>&1"
    [ $cache != loose ] || seen="sync; echo 3 >/proc/sys/vm/drop_caches; $seen"
    missing="No such file or directory"
    guest "$vm" "cd /srv; [ ! -e c ]"
    for text in one another a-third-one; do
        echo "$text" >"$share/c"
        mkdir -p "$share/d"
        echo x >"$share/d/$text"
        same "$(guest "$vm" "$seen" | tail -n 3 | grep -v drop_caches)" "$(echo "$text"; stat -c %s "$share/c"; echo "$text")" \
            "cache=$cache: what the host has written"
        rm "$share/d/$text"
        [ "$text" != another ] || mv "$share/c" "$share/moved"
    done
    rm -r "$share/c" "$share/d"
    same "$(guest "$vm" "$seen; :" | grep -c "$missing")" 3 "cache=$cache: what the host has removed"
    guest "$vm" "cd /"
}

for number in 10000 40000; do
    mkdir -p "$work/many/$number"
    (cd "$work/many/$number" && seq -f 'a-name-as-long-as-many-are-%g' $number | xargs touch)
done
for cache in ${CACHES:-loose mmap none}; do
    share=$work/cases-$cache
    machine $cache "$share"
    echo "bind -r '$work/many' /many" >"$mnt/$vm/ctl"
    options=incapable
    [ $cache != none ] || options="$options unmapped"
    [ $cache != loose ] || options="$options estimated"
    for dir in /srv/cases /var/cases; do
        on=$options
        [ $dir = /var/cases ] || on="$on granted"
        out=$(guest "$vm" "python3 /mnt/posix.py cases $dir $on" 300) || fail "cache=$cache, $dir: $(echo "$out" | grep -v '^ok')"
    done
    nothing_odd_in "$share"
    nothing_odd_in "$TMPDIR"
    if [ $cache != none ]; then
        same "$(tail -c +4091 "$share/cases/shared_mappings/f" | head -c 10)" 0123456789 "cache=$cache: what was mapped, on the host"
    fi
    same "$(guest "$vm" "stat -f -c '%b %S' /srv")" "$(stat -f -c '%b %S' "$share")" "cache=$cache: statfs"
    # Linear, by requests.
    few=$(listed 10000) many=$(listed 40000)
    echo "cache=$cache: 10000 names in $few requests, 40000 in $many"
    holds "cache=$cache: names are listed by hundreds ($few requests for 10000, $many for 40000)" test "$few" -le 30 -a "$many" -le 80
    host_changes_show

    # Attributes that the server cannot give its own files are there after a restart.
    guest "$vm" "cd /var; : >kept; chown 12:34 kept; chmod 6755 kept; mknod kept-device c 1 3; mkfifo kept-fifo; sync"
    echo poweroff >"$mnt/$vm/cons"
    same "$(ended "$vm")" "poweroff 0" "the machine's end"
    : >"$mnt/$vm/log"
    echo start >"$mnt/$vm/ctl"
    up
    same "$(guest "$vm" "stat -c '%f %u %g %t %T' /var/kept /var/kept-device /var/kept-fifo" | tr '\n' ,)" \
        "8ded 12 34 0 0,21a4 0 0 1 3,11a4 0 0 0 0," "cache=$cache: attributes after a restart"
    power_off
done

# Trees that number their files alike, each from 1: two in memory; two of the host's file systems; the layers of the root.
cache=none share=$work/inodes
machine none "$share"
mkdir "$share/a" && touch "$share/1" "$share/2"
printf '%s\n' "bind '#ram' /r1" "bind '#ram' /r2" "bind -r /sys/kernel /other" >"$mnt/$vm/ctl"
guest "$vm" "for d in r1 r2; do mkdir /\$d/a && touch /\$d/1 /\$d/2; done; mkdir /var/new && touch /var/new/1"
guest "$vm" "python3 /mnt/posix.py inodes / /r1 /r2 /srv /other /var/new /bin /etc /usr /usr/bin" >"$work/inodes.out" ||
    fail "files with one number: $(tail -n 1 "$work/inodes.out")"
power_off

# Record locks of two machines on one file of the host: had, waited for, released by who ends, and by the death of a machine.
share=$work/locks
machine none "$share"
first=$vm
machine mmap "$share"
second=$vm
got() { grep -ac "^got the lock" "$mnt/$1/log"; }
got_by_now() { [ "$(got "$1")" = "$2" ]; }
echo "python3 /mnt/posix.py hold /srv/lock /srv/released" >"$mnt/$first/cons"
await "$mnt/$first/log" "got the lock"
same "$(guest "$second" "python3 /mnt/posix.py try /srv/lock")" held "a lock of another machine"
echo "python3 /mnt/posix.py stop-waiting /srv/lock /srv/given-up" >"$mnt/$second/cons"
await "$mnt/$second/log" "gave up after"
touch "$share/released"
prompted() { tail -c 10 "$mnt/$1/log" | grep -q '\$ $'; }
in_time 20 "a prompt" prompted "$first"
sleep 1.5 # as long as one who asks again takes
same "$(guest "$first" "python3 /mnt/posix.py try /srv/lock")" free "a lock that was waited for no longer"
touch "$share/given-up"
in_time 20 "a prompt" prompted "$second"
rm "$share/released"
echo "python3 /mnt/posix.py hold /srv/lock /srv/released" >"$mnt/$first/cons"
in_time 20 "the lock is had again" got_by_now "$first" 2
echo "python3 /mnt/posix.py wait /srv/lock /srv/never" >"$mnt/$second/cons"
await "$mnt/$second/log" "waits for it"
sleep 1
lacks "the lock while another machine has it" has_text "$mnt/$second/log" "got the lock"
touch "$share/released"
await "$mnt/$second/log" "got the lock"
echo "python3 /mnt/posix.py wait /srv/lock /srv/at-last" >"$mnt/$first/cons"
await "$mnt/$first/log" "waits for it"
sleep 1
same "$(got "$first")" 2 "times the first machine has got the lock while the second has it"
echo kill >"$mnt/$second/ctl"
in_time 20 "the lock of a dead machine is had" got_by_now "$first" 3
rmdir "$mnt/$second"
touch "$share/at-last"
in_time 20 "a prompt" prompted "$first"
same "$(guest "$first" "python3 /mnt/posix.py try /srv/lock")" free "the lock in the end"
vm=$first && power_off

# Capabilities, which our kernel does not ask 9P for; Debian's does.
if make -s --no-print-directory -C "$here/../.." BUILD="$build" debian-kernel >&2; then
    kernel=$build/guest/debian-kernel/686
    python3 -I -S "$here/../e2e/initramfs.py" "$work/initrd" "$build/guest/root" "$kernel/modules" virtio_pci \
        virtio_blk virtio_console 9pnet_virtio 9p virtio_rng button evdev
    share=$work/capable
    machine loose "$share" "kernel=$kernel/vmlinuz" "initrd=$work/initrd" "'append=quiet rdinit=/early early.root=9p'"
    for dir in /srv/cases /var/cases; do
        on=
        [ $dir = /var/cases ] || on=granted
        out=$(guest "$vm" "python3 /mnt/posix.py cases $dir only=file_capabilities only=extended_attributes $on") ||
            fail "Debian's kernel, $dir: $out"
    done
    power_off
else
    echo "there is no kernel of Debian's: capabilities were not looked at"
fi
