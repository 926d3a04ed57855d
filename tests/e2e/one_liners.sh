#!/bin/sh
# SPDX-License-Identifier: MIT
# The one-liners that the tree is made for, word by word but for the place where it is mounted.
. "$(dirname "$0")/lib.sh"
mount_tree

# as_written LINE: runs a line in which the tree is at /vm.
as_written() { sh -c "$(printf '%s' "$1" | sed "s|/vm|$mnt|g")"; }

background as_written 'n=$(cat /vm/new); echo start > /vm/$n/ctl; cat /vm/$n/cons' >"$work/cons"
reader=$job
await "$work/cons" "$(prompt 1)"
same "$(n=1 && export n && as_written 'echo '\''uname -a; poweroff'\'' > /vm/$n/cons; read -r _ reason code _ < /vm/$n/wait
    echo "$reason $code"')" "poweroff 0" "what wait says"
wait $reader
holds "the guest answered" grep -q '^Linux vm1 6.*i686' "$work/cons"

same "$(new_vm)" 2 "number of the second machine"
echo 'append panic-stays-in-the-log' >"$mnt/1/conf"
as_written 'cat /vm/1/conf > /vm/2/conf'
holds "conf is copied" cmp "$mnt/1/conf" "$mnt/2/conf"
start_vm 2
echo pause >"$mnt/2/ctl"
status=0
as_written 'diff /vm/1/regs /vm/2/regs' >"$work/diff" || status=$?
same $status 1 "status of diff"
holds "the time stamps differ" grep -q '^[<>] tsc ' "$work/diff"
as_written 'diff /vm/2/regs /vm/2/regs' # a machine that is paused stands still
as_written 'grep -i panic /vm/*/log' >"$work/grep"
holds "grep finds it in the log" grep -q "^$mnt/2/log:.*panic-stays-in-the-log" "$work/grep"
echo stop >"$mnt/2/ctl"

mkdir "$work/sources"
echo 'int main(void) { return 7; }' >"$work/sources/main.c"
(cd "$work/sources" &&
    as_written 'mkdir /vm/build && echo "bind $PWD /src" > /vm/build/ctl && echo start > /vm/build/ctl')
await "$mnt/build/log" "$(prompt 3)"
same "$(guest 3 'cat /src/main.c; echo made >/src/out')" 'int main(void) { return 7; }' "file in the guest"
same "$(cat "$work/sources/out")" made "what the guest made"

# Those of vm(4).
(cd "$work/sources" && as_written 'echo "bind $PWD /again" > /vm/3/ctl
echo "bind -bo $PWD /usr" >> /vm/3/ns
cat /vm/3/ns > /vm/2/ns')
holds "ns is copied" cmp "$mnt/2/ns" "$mnt/3/ns"
same "$(guest 3 'ls -1d /again/* /usr/main.c')" "/again/main.c
/again/out
/usr/main.c" "what is bound"
same "$(as_written 'exec 3<>/vm/new; echo mem=64M >&3; read -r n <&3; echo $n')" 4 "number by one descriptor"
holds "with its setting" grep -qx 'mem 64M' "$mnt/4/conf"
same "$(as_written 'exec 3<>/vm/3/ctl; echo start >&3 2>/dev/null; cat <&3')" "the VM is already running" "what ctl says"
as_written 'echo quit > /vm/ctl'
in_time $patience "the tree is gone" sh -c "! grep -qF ' $mnt fuse' /proc/self/mounts"
server=
