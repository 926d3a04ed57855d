#!/bin/sh
# SPDX-License-Identifier: MIT
# Every machine writes to a root of its own: the files behave, stay there, and nobody else sees them.
. "$(dirname "$0")/lib.sh"
mount_tree

base=$build/guest/root
list_base() { find "$base" -printf '%P %y %m %U:%G %s %T@ %l\n' | sort; }
list_base >"$work/base.before"

a=$(new_vm) b=$(new_vm)
echo start >"$mnt/$a/ctl"
echo start >"$mnt/$b/ctl"
await "$mnt/$a/log" "$(prompt $a)"
await "$mnt/$b/log" "$(prompt $b)"
cold='sync; echo 3 >/proc/sys/vm/drop_caches'

# What each does to its files, and what is there once the guest's caches are gone.
guest $a 'mkdir /made /made/deep && echo one >/made/file && echo replaced >/etc/hosts'
guest $b 'mkdir /made && echo two >/made/file && rm /etc/profile'
guest $a "$cold" >/dev/null # the kernel says that it did
guest $b "$cold" >/dev/null
same "$(guest $a 'cat /made/file /etc/hosts')" "one
replaced" "files of the first machine"
same "$(guest $b 'cat /made/file')" two "file of the second machine"
same "$(guest $b 'grep -c localhost /etc/hosts')" 1 "the file that the first replaced, in the second"
same "$(guest $a 'ls /etc/profile')" /etc/profile "the file that the second removed, in the first"
lacks "a removed file is there" guest_ $LINENO $b 'ls /etc/profile 2>/dev/null'
same "$(guest $b 'ls /made')" file "what the first made, in the second"

guest $a 'cd /made; mknod null c 1 3; mknod fifo p; echo gone >null; wc -c <null' >"$work/null"
same "$(cat "$work/null")" 0 "bytes in a null device"
guest $a 'chown 1000:50 file; chmod 4755 file; ln -s file soft; ln file hard; mv deep moved; touch -d @86400 old'
guest $a "$cold" >/dev/null
same "$(guest $a "stat -c '%n %F %a %u:%g %t,%T' null fifo file hard soft moved")" \
    "null character special file 644 0:0 1,3
fifo fifo 644 0:0 0,0
file regular file 4755 1000:50 0,0
hard regular file 4755 1000:50 0,0
soft symbolic link 777 0:0 0,0
moved directory 755 0:0 0,0" "attributes"
same "$(guest $a 'stat -c %h file hard; readlink soft; cat soft; stat -c %Y old')" "2
2
file
one
86400" "hard link, symbolic link, time"
same "$(guest $a 'echo more >>hard; cat file; rm file; cat hard; stat -c %h hard')" "one
more
one
more
1" "hard link"
same "$(guest $a 'mv hard moved/renamed; ls moved; ls -1')" "renamed
fifo
moved
null
old
soft" "after renames"

# A megabyte, read a second time from the server.
first=$(guest $a 'head -c 1048576 /dev/urandom >big; md5sum <big')
guest $a "$cold" >/dev/null
same "$(guest $a 'stat -c %s big; md5sum <big')" "1048576
$first" "a megabyte read again"
guest $a 'cd /; dd if=/dev/zero of=/made/big bs=4096 seek=100 count=1 conv=notrunc 2>/dev/null'
second=$(guest $a 'md5sum </made/big')
lacks "a write in the middle changed nothing" test "$first" = "$second"

# Stop is as if the power had gone: what was synced is there after the next start.
guest $a sync
echo stop >"$mnt/$a/ctl"
ended $a >/dev/null
start_vm $a
same "$(guest $a 'cat /made/moved/renamed; md5sum </made/big; stat -c %a /made/moved/renamed')" "one
more
$second
4755" "files after stop and start"
same "$(guest $b 'cat /made/file')" two "file of the second machine, afterwards"

list_base >"$work/base.after"
holds "the base root is as it was" diff "$work/base.before" "$work/base.after"

# What a destroyed machine wrote goes with it.
echo destroy >"$mnt/$b/ctl"
lacks "the scratch layer of a destroyed machine is there" test -e "$TMPDIR"/ennead-*/"$b"
