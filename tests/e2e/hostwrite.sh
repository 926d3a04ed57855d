#!/bin/sh
# SPDX-License-Identifier: MIT
# With `hostwrite on` what is written under root/ is the guest's, in its scratch layer; without, nothing is.
. "$(dirname "$0")/lib.sh"
mount_tree

n=$(new_vm) m=$(new_vm hostwrite=on)
refused EINVAL "$mnt/$n/conf" 'hostwrite yes'
mkdir "$work/host" "$work/closed"
echo theirs | tee "$work/host/file" >"$work/closed/file"
printf 'bind %s /src\nbind -r %s /closed\n' "$work/host" "$work/closed" >"$mnt/$m/ctl"
echo start >"$mnt/$n/ctl"
start_vm $m
await "$mnt/$n/log" "$(prompt $n)"

r=$mnt/$n/root
lacks "touch without hostwrite" touch "$r/made" 2>/dev/null
answers EROFS write "$r/etc/hosts" x
lacks "mkdir without hostwrite" mkdir "$r/dir" 2>/dev/null
refused EBUSY "$mnt/$n/conf" 'hostwrite on'

# Seen there at once, and in none of the directories below.
r=$mnt/$m/root
same "$(guest $m 'ls /made 2>&1; cat /etc/hosts | wc -l')" "ls: /made: No such file or directory
$(wc -l <"$build/guest/root/etc/hosts")" "before"
mkdir -p "$r/made/deep"
echo one >"$r/made/file"
echo two >>"$r/made/file"
echo replaced >"$r/etc/hosts"
rm "$r/etc/group"
ln -s file "$r/made/soft"
ln "$r/made/file" "$r/made/hard"
chmod 4750 "$r/made/file"
touch -d @86400 "$r/made/deep"
mv "$r/made/deep" "$r/made/moved"
same "$(guest $m 'cat /made/file /etc/hosts; cd /made; stat -c "%n %a %u:%g %h" file hard moved; readlink soft; stat -c %Y moved; cd /; ls -d /etc/group 2>&1 || :')" \
    "one
two
replaced
file 4750 0:0 2
hard 4750 0:0 2
moved 755 0:0 1
file
86400
ls: /etc/group: No such file or directory" "what the guest sees"
lacks "the base has it" test -e "$build/guest/root/made"
holds "the base was changed" test -e "$build/guest/root/etc/group"
lacks "the other machine has it" test -e "$mnt/$n/root/made"

# And the other way, for as long as both write.
guest $m 'echo three >>/made/file; mkdir /made/theirs; rm /made/hard' >/dev/null
same "$(cat "$r/made/file")" "one
two
three" "what the guest added"
same "$(ls "$r/made")" "file
moved
soft
theirs" "names"
rm -r "$r/made"
same "$(guest $m 'ls /made 2>&1 || :')" "ls: /made: No such file or directory" "removed"

# Bound directories, as they are bound.
echo ours >"$r/src/file"
echo new >"$r/src/new"
same "$(cat "$work/host/file" "$work/host/new")" "ours
new" "in the host's directory"
answers EROFS write "$r/closed/file" x

echo stop >"$mnt/$m/ctl"
same "$(ended $m)" "stop 0" "the end"
start_vm $m
same "$(guest $m 'cat /etc/hosts')" replaced "after a start"
