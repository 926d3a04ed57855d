#!/bin/sh
# SPDX-License-Identifier: MIT
# A guest's file systems on its disks: what goes to the image and what to the layer over it, what is left after a
# flush and the death of the machine, discard, and a host that runs out of space. The guest is a kernel of Debian's
# with ext4, and our BusyBox.
. "$(dirname "$0")/../e2e/lib.sh"
PATH=$PATH:/usr/sbin:/sbin
for tool in mke2fs e2fsck debugfs dumpe2fs; do
    command -v $tool >/dev/null || skip "$tool is not installed"
done
make -s --no-print-directory -C "$here/../.." BUILD="$build" debian-kernel >&2 ||
    skip "there are no kernels of Debian's: their packages could not be had"
patience=120
kernel=$build/guest/debian-kernel/686-pae
python3 -I -S "$here/../e2e/initramfs.py" "$work/initrd" "$build/guest/root" "$kernel/modules" virtio_pci \
    virtio_blk virtio_console 9pnet_virtio 9p ext4 crc32c_generic
# machine DISK…: gives the number of one that has these settings.
machine() {
    m=$(new_vm mem=128M "kernel=$kernel/vmlinuz" "initrd=$work/initrd")
    printf '%s\n' "append quiet rdinit=/early" "$@" >"$mnt/$m/conf"
    echo "$m"
}
sum() { sha256sum | cut -d ' ' -f 1; }
blocks() { stat -c %b "$1"; }
# The guest forgets what it has read and written back.
forget='echo 3 >/proc/sys/vm/drop_caches'
mount_tree

# --- an image that is written through -----------------------------------------------------------------
mkdir "$work/files"
head -c 3000000 /dev/urandom >"$work/files/random"
mke2fs -q -t ext4 -d "$work/files" "$work/made-here" 48M
truncate -s 64M "$work/made-there"
made_here=$(sum <"$work/made-here")
n=$(machine "disk0 $work/made-there rw" "disk1 $work/made-here")
start_vm $n
holds "mke2fs" guest_ $LINENO $n 'mke2fs /dev/vda >/dev/null && mkdir /a /b && mount /dev/vda /a && mount /dev/vdb /b'
same "$(guest $n 'sha256sum </b/random | cut -d " " -f 1')" "$(sum <"$work/files/random")" "a file made on the host"
holds "copy" guest_ $LINENO $n 'cp /b/random /a/copy && echo 6*7 >/a/small && sync && rm /b/random && echo new >/b/new && sync'
holds "unmount" guest_ $LINENO $n 'umount /a /b'
# The same bytes for both sides, and those of the layer for one.
same "$(guest $n "$forget; sha256sum </dev/vda | cut -d ' ' -f 1")" "$(sum <"$work/made-there")" "an image that is written through"
same "$(sum <"$work/made-here")" "$made_here" "an image under its layer"
layered=$(guest $n "sha256sum </dev/vdb | cut -d ' ' -f 1")
lacks "the layer shows in the guest" test "$layered" = "$made_here"
holds "the guest's file system is sound" e2fsck -fn "$work/made-there"
same "$(debugfs -R 'cat /copy' "$work/made-there" 2>/dev/null | sum)" "$(sum <"$work/files/random")" "a file made in the guest"

# Discard gives the host its space back, and what was discarded reads as zeroes; so do zeroes that are written.
holds "a large file" guest_ $LINENO $n 'mount /dev/vda /a && dd if=/dev/urandom of=/a/large bs=1M count=20 conv=fsync 2>/dev/null'
before=$(blocks "$work/made-there")
holds "fstrim" guest_ $LINENO $n 'rm /a/large && sync && fstrim /a'
holds "fstrim gave back 20M: $before, $(blocks "$work/made-there")" test $((before - $(blocks "$work/made-there"))) -ge 40000
same "$(guest $n "umount /a; blkdiscard /dev/vda && $forget; sha256sum </dev/vda | cut -d ' ' -f 1")" \
    "$(head -c 64M /dev/zero | sum)" "a disk that was discarded"
holds "nothing is left of it: $(blocks "$work/made-there")" test "$(blocks "$work/made-there")" -lt 100
same "$(guest $n 'cat /sys/block/vda/queue/write_cache')" "write back" "the cache that the guest knows of"
echo stop >"$mnt/$n/ctl"
same "$(ended $n)" "stop 0" "end"

# --- a layer over the ends of its machine -------------------------------------------------------------
start_vm $n
same "$(guest $n "sha256sum </dev/vdb | cut -d ' ' -f 1")" "$layered" "a layer after stop and start"
same "$(guest $n 'mkdir /b; mount /dev/vdb /b; ls /b | cat')" "$(printf 'lost+found\nnew')" "its files"
same "$(guest $n 'cat /b/new; umount /b')" new "its new file"

# Numbered sectors, each flushed before it is told; then the process dies.
cat >"$mnt/$n/cons" <<'END'
i=0; while i=$((i + 1)); do printf %08d $i | dd of=/dev/vdb bs=512 seek=$i conv=sync,notrunc,fsync 2>/dev/null && echo "flushed $i"; done
END
await "$mnt/$n/log" 'flushed 200'
kill -KILL "$(vm_process $n)"
same "$(ended $n)" "kill SIGKILL" "end"
last=$(tr -d '\r' <"$mnt/$n/log" | sed -n 's/^flushed \([0-9]*\)$/\1/p' | tail -n 1)
holds "many were flushed: $last" test "$last" -ge 200
start_vm $n
same "$(guest $n "dd if=/dev/vdb bs=512 skip=1 count=$last 2>/dev/null | tr -d '\\0' | sha256sum | cut -d ' ' -f 1")" \
    "$(seq -f %08.0f -s '' "$last" | tr -d '\n' | sum)" "$last sectors that were flushed before the process died"
same "$(sum <"$work/made-here")" "$made_here" "the image under the layer"
echo stop >"$mnt/$n/ctl"
same "$(ended $n)" "stop 0" "end"

# An image that somebody changed is none for the layer any more. Another image is, and each has its own layer.
touch "$work/made-here"
refused EINVAL "$mnt/$n/ctl" start 'was changed'
printf '%s\n' "disk1 $work/made-there" disk0 >"$mnt/$n/conf"
start_vm $n
same "$(guest $n "sha256sum </dev/vda | cut -d ' ' -f 1")" "$(sum <"$work/made-there")" "an image in another's place"
echo destroy >"$mnt/$n/ctl"

# --- zeroes -------------------------------------------------------------------------------------------
# ext4 has the disk write zeroes over inode tables that mke2fs left as they were.
head -c 64M /dev/urandom >"$work/zeroes"
mke2fs -q -F -t ext4 -E lazy_itable_init=1,nodiscard -I 256 -N 32768 "$work/zeroes"
groups() { dumpe2fs "$work/zeroes" 2>/dev/null | grep -c "$1"; }
lacks "the tables are zero already" test "$(groups ITABLE_ZEROED)" = "$(groups '^Group [0-9]')"
n=$(machine "disk0 $work/zeroes rw")
start_vm $n
holds "mount" guest_ $LINENO $n 'mkdir /a && mount -o init_itable=0 /dev/vda /a'
zeroed() { [ "$(groups ITABLE_ZEROED)" = "$(groups '^Group [0-9]')" ]; }
for try in $(seq 30); do
    holds "sync" guest_ $LINENO $n 'sync; sleep 1'
    ! zeroed || break
done
holds "the kernel had the tables zeroed" zeroed
holds "unmount" guest_ $LINENO $n 'umount /a'
holds "the file system is sound" e2fsck -fn "$work/zeroes"
table=$(dumpe2fs "$work/zeroes" 2>/dev/null | sed -n 's/.*Inode table at \([0-9]*\)-.*/\1/p' | tail -n 1)
same "$(tail -c "+$((table * 1024 + 1))" "$work/zeroes" | head -c 65536 | sum)" "$(head -c 65536 /dev/zero | sum)" "an inode table"
echo destroy >"$mnt/$n/ctl"
echo quit >"$mnt/ctl"
in_time 10 "the server ends" sh -c "! grep -qF ' $mnt ' /proc/self/mounts"

# --- a host out of space ------------------------------------------------------------------------------
# A small file system for layers and images: ext4, or in memory where there are no loop devices.
small=$work/small
mkdir "$small"
truncate -s 48M "$work/small.ext4"
mke2fs -q -t ext4 -m 0 "$work/small.ext4"
if ! mount -o loop "$work/small.ext4" "$small" 2>/dev/null && ! mount -t tmpfs -o size=40M none "$small" 2>/dev/null; then
    echo "may not mount a small file system: the host that runs out of space was left out"
    exit 0
fi
trap 'ending=$?; set +e; umount -l "$small"; (exit $ending); finish' EXIT
mkdir "$small/state"
TMPDIR=$small/state mount_tree
[ -n "$(ls "$small/state")" ] || {
    echo "$small has no extended attributes: the host that runs out of space was left out"
    exit 0
}
truncate -s 64M "$work/image" "$small/image"
for way in layer image; do
    case $way in
    layer) n=$(machine "disk0 $work/image") ;;
    image) n=$(machine "disk0 $small/image rw") ;;
    esac
    start_vm $n
    background cat "$mnt/$n/cons" >"$work/cons" # log is on the full file system too
    flushed=$(guest $n "dd if=/dev/urandom of=/dev/vda bs=1M count=4 conv=fsync 2>/dev/null && $forget; head -c 4M /dev/vda | sha256sum")
    free=$(($(stat -f -c '%a * %S' "$small")))
    head -c $((free - 6000000)) /dev/zero >"$small/ballast"
    : >"$mnt/$n/error"
    echo 'dd if=/dev/urandom of=/dev/vda bs=1M seek=4 count=40 conv=fsync; echo ended with $?' >"$mnt/$n/cons"
    await "$work/cons" 'ended with 1'
    holds "$way: the guest is told" grep -qa 'dd: .*Input/output error' "$work/cons"
    holds "$way: so is the owner: $(cat "$mnt/$n/error")" \
        grep -Eq " ENOSPC disk0 'writing [0-9]* sectors at sector [0-9]*: No space left on device'" "$mnt/$n/error"
    same "$(grep -c ' ENOSPC disk0 ' "$mnt/$n/error")" 1 "$way: lines for many failures"
    # With space again everything goes on, and what was flushed is there, now and in the next run.
    rm "$small/ballast"
    same "$(guest $n "$forget; head -c 4M /dev/vda | sha256sum")" "$flushed" "$way: what was flushed before"
    again=$(guest $n "dd if=/dev/urandom of=/dev/vda bs=1M seek=4 count=4 conv=fsync 2>/dev/null && $forget; head -c 8M /dev/vda | sha256sum")
    kill -KILL "$(vm_process $n)"
    same "$(ended $n)" "kill SIGKILL" "$way: end"
    start_vm $n
    same "$(guest $n "head -c 8M /dev/vda | sha256sum")" "$again" "$way: what was flushed, in the next run"
    echo destroy >"$mnt/$n/ctl"
done
