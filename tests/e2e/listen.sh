#!/bin/sh
# SPDX-License-Identifier: MIT
# The tree over 9P is the tree of the mount: both dialects, several clients, another server's
# machines, and a peer that is killed.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin # where diod keeps its tools
socket="unix!$work/socket"
mount_tree --listen "$socket" --listen 'tcp!127.0.0.1!0'
tcp=$(sed -n 's/^export \(tcp!.*\)$/\1/p' "$mnt/ctl")
same "$(stat -c %a "$work/socket")" 600 "mode of the socket"

nine() { timeout $patience "$build/ennead" 9p -a "$addr" "$@"; }
# In 9P2000, by a client that shares nothing with the server.
plain() { timeout $patience python3 -I -S "$here/../e2e/nine.py" "$addr" "$@"; }

# --- the same files, whatever they are asked by ---------------------------------------------------

n=$(new_vm)
for addr in "$socket" "$tcp"; do
    # shellcheck disable=SC2012
    same "$(nine ls / $n)" "$(ls -1 "$mnt"; ls -1 "$mnt/$n")" "names over $addr"
    same "$(plain ls / | sort)" "$(ls -1 "$mnt")" "names in 9P2000 over $addr"
    for file in conf status version help $n/conf $n/ctl $n/ns; do
        nine cat $file >"$work/read" || fail "cat $file over $addr"
        holds "$file is the same over $addr" cmp "$work/read" "$mnt/$file"
    done
    same "$(plain cat $n/conf)" "$(cat "$mnt/$n/conf")" "conf in 9P2000 over $addr"
    same "$(plain stat ctl)" "ctl 0o600" "stat in 9P2000"
done
addr=$socket
m=$(nine cat new)
same "$(cat "$mnt/$m/ctl")" $m "a machine made over 9P"
echo 'set mem 64M' | nine write $m/ctl
holds "a setting made over 9P" grep -qx 'mem 64M' "$mnt/$m/conf"
same "$(plain write $m/ctl 'set mem 65M')" "" "a write in 9P2000"
holds "a setting made in 9P2000" grep -qx 'mem 65M' "$mnt/$m/conf"
before=$(cat "$mnt/$n/ns")
echo "bind '#ram' /x" | nine write -a $n/ns
same "$(cat "$mnt/$n/ns")" "$before
bind '#ram' /x" "a list that was added to"
echo "bind '#ram' /y" | nine write $n/ns
same "$(cat "$mnt/$n/ns")" "$before
bind '#ram' /y" "a list that was replaced"
nine mkdir box
nine rm $m
same "$(nine ls -d box)" box "made over 9P"
same "$(nine stat $m 2>&1)" "ennead: $m: No such file or directory" "removed over 9P"

# What is refused says why, by number in 9P2000.L and by the words themselves in 9P2000.
same "$(echo 'step no' | nine write $n/ctl 2>&1)" "ennead: $n/ctl: Invalid argument: no is not a number" "words after a refusal"
explained EINVAL "$mnt/$n/ctl" "no is not a number"
same "$(plain write $n/ctl 'step no')" "error: no is not a number" "words in Rerror"
same "$(plain cat nothing)" "error: No such file or directory" "an error without words"

# A read that waits is called off; a frame that is none ends its connection alone.
same "$(plain flush $n/wait)" flushed "Tflush"
background plain follow $n/wait >"$work/follow"
follower=$job
same "$(plain junk)" "error: hung up" "junk"
has_log() { grep -qF "$1" "$work/server.log"; }
holds "the log tells of the junk" has_log 'what=bad-frame client='

# Others get what the modes give them.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$work"
    as_other() { setpriv --reuid 12345 --regid 12345 --clear-groups timeout 10 "$build/ennead" 9p "$@" 2>&1; }
    if setpriv --reuid 12345 --regid 12345 --clear-groups test -x "$build/ennead"; then
        same "$(as_other -a "$tcp" cat version)" "$(cat "$mnt/version")" "version for another user"
        same "$(as_other -a "$tcp" cat new)" "ennead: new: Permission denied" "new for another user"
        same "$(echo quit | as_other -a "$tcp" write ctl)" "ennead: ctl: Permission denied" "ctl for another user"
        same "$(as_other -a "$socket" ls)" "ennead: $socket: Permission denied" "another user's socket"
        on_mount() { LC_ALL=C setpriv --reuid 12345 --regid 12345 --clear-groups timeout 10 "$@" 2>&1; }
        same "$(on_mount cat "$mnt/version")" "$(cat "$mnt/version")" "version for another user, on the mount"
        same "$(on_mount cat "$mnt/new")" "cat: $mnt/new: Permission denied" "new for another user, on the mount"
        same "$(on_mount cat "$mnt/$n/cons")" "cat: $mnt/$n/cons: Permission denied" "cons for another user, on the mount"
        lacks "another user makes a machine by name" on_mount mkdir "$mnt/other" >/dev/null
        chmod 666 "$work/socket"
        same "$(as_other -a "$socket" cat version)" "$(cat "$mnt/version")" "opened by chmod"
        same "$(as_other -a "$socket" cat $n/cons)" "ennead: $n/cons: Permission denied" "cons for another user"
    fi
fi

# The client of somebody else's server.
if command -v diodcat >/dev/null; then
    server_port=127.0.0.1:${tcp##*!}
    same "$(timeout 10 diodls -s "$server_port" -a / | sort)" "$(ls -1 "$mnt")" "diodls"
    timeout 10 diodcat -s "$server_port" -a "/$n" conf >"$work/read"
    holds "diodcat reads conf" cmp "$work/read" "$mnt/$n/conf"
fi

# --- addresses ------------------------------------------------------------------------------------

same "$("$build/ennead" --listen "$socket" 2>&1)" "ennead: $socket: a server listens there already" "twice"
same "$("$build/ennead" --listen 'tcp!0.0.0.0!0' 2>&1 | cut -d ';' -f 1)" \
    "ennead: tcp!0.0.0.0!0: other hosts could reach it, and 9P has no passwords" "beyond this host"
lacks "a server without tree and address" "$build/ennead" 2>/dev/null

echo "export unix!$work/part $n -r" >"$mnt/ctl"
addr="unix!$work/part"
same "$(nine cat name)" $n "a part of the tree"
same "$(echo start | nine write ctl 2>&1)" "ennead: ctl: Read-only file system" "a part to be looked at"
holds "ctl lists it" grep -qx "export unix!$work/part $n -r" "$mnt/ctl"
cat "$mnt/ctl" >"$work/lines"
cat "$work/lines" >"$mnt/ctl" || fail "what ctl lists cannot be written to it"
holds "and nothing changed" cmp "$work/lines" "$mnt/ctl"
echo "unexport unix!$work/part" >"$mnt/ctl"
lacks "the part is gone" test -e "$work/part"
refused ENOENT "$mnt/ctl" "unexport unix!$work/part" "nothing is exported there"

# --- another server, with no mount of its own -----------------------------------------------------

far="unix!$work/far"
start_far() {
    "$build/ennead" --log "$work/far.log" --listen "$far"
    far_server=$(pgrep -f -- "ennead .*--listen $far\$")
    jobs="${jobs:-} $far_server"
}
start_far
addr=$far
echo "mount $far n/far" >"$mnt/ctl"
in_time 10 "the far tree" test -e "$mnt/n/far/version"
same "$(cat "$mnt/n/far/new")" 1 "a machine there"
echo start >"$mnt/n/far/1/ctl"
await "$mnt/n/far/1/log" "$(prompt 1)"
background cat "$mnt/n/far/1/cons" >"$work/far.cons" 2>"$work/cons.end"
reader=$job
background cat "$mnt/n/far/events" >"$work/far.events" 2>"$work/events.end"
echo 'echo over $((6*7)) there' >"$mnt/n/far/1/cons"
await "$work/far.cons" "over 42 there"
same "$(nine cat 1/status | cut -d ' ' -f 1)" running "its state, asked there"
same "$(plain write 1/regs 'eax 1')" "error: the machine is running" "words of a machine's process"
echo pause >"$mnt/n/far/1/ctl"
await "$work/far.events" " 1 state paused"

# The same in guests: one has it from the start, another while it runs, both written as `ns` has it.
echo 'nest 1' >"$mnt/$n/conf" # its kernel must not keep what it has seen
echo "mount $far /far" >"$mnt/$n/ctl"
cat "$mnt/$n/ns" >"$work/far.ns"
holds "its line in ns" grep -qx "mount $far /far" "$work/far.ns"
o=$(new_vm nest=1)
start_vm $n
start_vm $o
cat "$work/far.ns" >"$mnt/$o/ns"
refused EINVAL "$mnt/$o/ctl" "mount ${far#unix!} /x" "an address is unix!PATH or tcp!HOST!PORT"
holds "a caret under the address" grep -qx '          ^' "$mnt/$o/error"
for vm in $n $o; do
    in_time 10 "the far tree in machine $vm" test -e "$mnt/$vm/root/far/version"
    same "$(guest $vm 'cat /far/version')" "$(nine cat version)" "version there, in a guest"
done
same "$(cat "$mnt/$o/ns")" "$(cat "$work/far.ns")" "ns of the other machine"
echo "mount -b $far /etc" >"$mnt/$o/ctl"
in_time 10 "a union" test -e "$mnt/$o/root/etc/version"
far_vm=$(guest $n 'cat /far/new')
guest $o "echo 'mem 32M' >/far/$far_vm/conf"
holds "a machine made and set by guests" sh -c "$build/ennead 9p -a '$far' cat $far_vm/conf | grep -qx 'mem 32M'"
guest $n '((cat /far/events >/dev/null; echo $? >/tmp/end) 2>/dev/null &)'

# Killed: what waits ends with EIO, what is asked now too, and it comes back.
vms="${vms:-} $(pgrep -P "$far_server" -x ennead-vm)"
background call read "$mnt/n/far/1/wait" >"$work/far.wait"
waiter=$job
in_time $patience "a reader waits" sh -c "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -qF '$mnt/n/far/1/wait'"
kill -KILL "$far_server"
wait $waiter || :
same "$(cat "$work/far.wait")" EIO "the read that waited"
wait $reader && fail "cons ended as if nothing had happened"
answers EIO read "$mnt/n/far/version"
holds "n is still there" ls "$mnt/n" >/dev/null
holds "ctl says why" grep -q '^# not connected: ' "$mnt/ctl"
same "$(guest $n 'until [ -s /tmp/end ]; do sleep 0.1; done; cat /tmp/end; cat /far/version 2>&1 || :')" "1
cat: can't open '/far/version': Input/output error" "the far tree in a guest"
same "$(guest $o 'ls /etc | grep -cx -e version -e hosts')" 1 "a union without it"
answers EIO read "$mnt/$n/root/far/version"
holds "ns says why" grep -q '^# not connected: ' "$mnt/$n/ns"
explained EIO "$mnt/$n/ns" "$far"
start_far
in_time $patience "the far tree is back" test -e "$mnt/n/far/version"
same "$(ls "$mnt/n/far")" "$(nine ls)" "the new far tree"
for vm in $n $o; do
    in_time $patience "it is back in machine $vm" test -e "$mnt/$vm/root/far/version"
    same "$(guest $vm 'cat /far/version')" "$(nine cat version)" "version there, in a guest"
done
same "$(guest $o 'ls /etc | grep -cx -e version -e hosts')" 2 "the union"
echo "unmount $far /etc" >"$mnt/$o/ctl"
echo "unbind /far" >"$mnt/$o/ctl"
same "$(cat "$mnt/$o/ns")" "$(grep -v "$far" "$work/far.ns")" "ns without it"
same "$(guest $o 'ls -d /far /etc/version 2>/dev/null | wc -l')" 0 "what is no longer mounted"
echo kill >"$mnt/$n/ctl"
echo kill >"$mnt/$o/ctl"

# A server that mounts itself.
echo "mount $socket n/self" >"$mnt/ctl"
in_time 10 "our own tree" test -e "$mnt/n/self/version"
same "$(timeout 10 cat "$mnt/n/self/n/self/n/far/version")" "$(cat "$mnt/version")" "round and round"
# What reads everything comes to the end of it: the fifth time round there is nothing to be had.
echo 'unmount n/far' >"$mnt/ctl"
timeout 60 find "$mnt" >"$work/found" 2>"$work/find.errors" || same $? 1 "status of find"
same "$(grep -c '/version$' "$work/found")" 5 "version, as often as find came by"
lacks "find complains of something else: $(cat "$work/find.errors")" \
    grep -qv 'Too many levels of symbolic links' "$work/find.errors"
answers ELOOP open "$mnt/n/self/n/self/n/self/n/self/n/self/version"
echo 'unmount n/self' >"$mnt/ctl"
same "$(ls "$mnt/n")" "" "nothing mounted"

echo quit | nine write ctl
in_time 10 "the far server has ended" sh -c "! kill -0 $far_server 2>/dev/null"
lacks "its socket is left" test -e "$work/far"
addr=$socket
echo quit | nine write ctl
in_time 10 "the tree is unmounted" sh -c "! grep -qF ' $mnt fuse' /proc/self/mounts"
lacks "the socket is left" test -e "$work/socket"
wait $follower || :
