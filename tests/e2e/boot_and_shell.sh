#!/bin/sh
# SPDX-License-Identifier: MIT
# A machine made with settings boots to a shell that computes, powers off, and boots again.
. "$(dirname "$0")/lib.sh"
mount_tree

n=$(new_vm mem=64M append=quiet)
same "$(state $n)" new "state of a new machine"
same "$(grep -c . "$mnt/$n/conf")" 23 "lines of conf"
holds "conf has the mem given to new" grep -qx 'mem 64M' "$mnt/$n/conf"
holds "conf has the append given to new" grep -qx 'append quiet' "$mnt/$n/conf"
echo 'mem 96M' >"$mnt/$n/conf"
holds "conf has the mem written to it" grep -qx 'mem 96M' "$mnt/$n/conf"
holds "conf keeps what was not written" grep -qx 'append quiet' "$mnt/$n/conf"
same "$(stat -c %s "$mnt/$n/mem")" $((96 << 20)) "size of mem"

other=$(new_vm)
same "$other" $((n + 1)) "number of the second machine"
cat "$mnt/$n/conf" >"$mnt/$other/conf"
holds "conf copies a machine" cmp "$mnt/$n/conf" "$mnt/$other/conf"

background cat "$mnt/$n/cons" >"$work/cons"
reader=$job
echo start >"$mnt/$n/ctl"
await "$work/cons" "$(prompt $n)"
same "$(state $n)" running "state of a started machine"
same "$(guest $n 'echo $((6*7*1000+13))')" 42013 "a value computed in the guest"
same "$(guest $n 'uname -s -m')" "Linux i686" "uname"
same "$(guest $n 'hostname')" "vm$n" "host name"
memory=$(guest $n "sed -n 's/MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo")
holds "the guest has 96M less what the kernel keeps: $memory" \
    test "$memory" -gt $((80 << 10)) -a "$memory" -lt $((96 << 10))
lacks "the guest's failing command succeeds" guest_ $LINENO $n false

echo poweroff >"$mnt/$n/cons"
same "$(ended $n)" "poweroff 0" "end"
same "$(cut -d ' ' -f 1-3 "$mnt/$n/status")" "stopped poweroff 0" "status"
wait $reader # end of file
holds "the reader of cons got what log keeps" cmp "$work/cons" "$mnt/$n/log"
holds "log keeps everything" grep -q 42013 "$mnt/$n/log"

start_vm $n
same "$(guest $n 'echo $((50000/7))')" 7142 "a value computed after the second start"
echo stop >"$mnt/$n/ctl"
same "$(ended $n)" "stop 0" "end"

# A guest that has its console on COM1 though it has a driver for the virtio console too.
echo "cmdline console=ttyS0 root=ennead rootfstype=9p rw rootflags=trans=virtio,version=9p2000.L init=/init ennead.vm=$n" >"$mnt/$n/conf"
start_vm $n
same "$(guest $n tty)" /dev/ttyS0 "terminal of a shell on COM1"
echo poweroff >"$mnt/$n/cons"
same "$(ended $n)" "poweroff 0" "end of it"
