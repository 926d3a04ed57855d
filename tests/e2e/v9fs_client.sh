#!/bin/sh
# SPDX-License-Identifier: MIT
# Linux's own 9P client, in a guest, at a listener: over a serial line, as there is no network. What
# the line loses or changes would end the connection.
. "$(dirname "$0")/lib.sh"
mount_tree --listen "unix!$work/socket"

n=$(new_vm mem=64M)
start_vm $n
background python3 -I -S "$here/../e2e/relay.py" "$mnt/$n/com2" "$work/socket" >"$work/relay"
await "$work/relay" ready
guest $n 'mkdir -p /far; exec 3<>/dev/ttyS1; stty raw -echo <&3
mount -t 9p -o trans=fd,rfdno=3,wfdno=3,version=9p2000.L,msize=8192,cache=none,uname=v9fs ennead /far'

same "$(guest $n 'cat /far/version /far/conf /far/help')" "$(cat "$mnt/version" "$mnt/conf" "$mnt/help")" "files"
same "$(guest $n 'ls /far | tr "\n" " "; ls /far/1 | wc -l')" "$(ls "$mnt" | tr '\n' ' ')$(ls "$mnt/$n" | wc -l)" "names"

# A guest that is a client of the host's tree makes a machine, and lives with it.
m=$(guest $n 'cat /far/new')
same "$(cat "$mnt/$m/ctl")" $m "a machine made there"
guest $n "echo 'mem 32M' >/far/$m/conf; echo set append quiet >/far/$m/ctl; mkdir /far/box; mv /far/box /far/chest"
holds "its settings" grep -qx 'mem 32M' "$mnt/$m/conf"
holds "its settings, by ctl" grep -qx 'append quiet' "$mnt/$m/conf"
holds "one made by name" test -e "$mnt/chest/conf"
lacks "a bad verb was taken" guest_ $LINENO $n "echo fly 2>/dev/null >/far/$m/ctl"
explained EINVAL "$mnt/$m/ctl" "unknown verb fly"
guest $n "(timeout 20 cat /far/$m/events >/tmp/events &); echo bytes >/far/$m/name"
guest $n "until grep -q 'name bytes' /tmp/events; do sleep 0.05; done"
guest $n "rmdir /far/chest /far/bytes"
lacks "what was removed is there" test -e "$mnt/$m/conf"

# Every byte value both ways, more than the line's queue holds: the memory of a machine that stands still.
m=$(new_vm mem=32M)
printf 'start\npause\n' >"$mnt/$m/ctl"
sum=$(guest $n "head -c 200000 /dev/urandom >/tmp/r; dd if=/tmp/r of=/far/$m/mem bs=50000 2>/dev/null; md5sum </tmp/r")
same "$(head -c 200000 "$mnt/$m/mem" | md5sum)" "$sum" "what the guest wrote"
same "$(guest $n "head -c 200000 /far/$m/mem | md5sum")" "$sum" "what the guest read"
echo kill >"$mnt/$m/ctl"
guest $n 'umount /far; exec 3>&-'
echo poweroff >"$mnt/$n/cons"
same "$(ended $n)" "poweroff 0" "its end"
