#!/bin/sh
# SPDX-License-Identifier: MIT
# A guest that is given `#vm` makes machines, talks to them and ends them, and reaches nothing else; and one
# that is given a tree under n/ drives a machine there.
. "$(dirname "$0")/lib.sh"
rc=$(cd "$here/../../rc" && pwd)
far="unix!$work/far"
mount_tree

mkdir "$work/src" && echo one >"$work/src/one"
mkdir "$mnt/sibling"
s=$(cat "$mnt/sibling/ctl")
n=$(new_vm nest=1 cap=2 mem=128M)
cat >"$mnt/$n/ns" <<END
bind '#vm' /vm
bind -r $rc /rc
bind -r $work/src /src
END
lines=$(cat "$mnt/$n/ns")
holds "ns lists #vm" grep -qx "bind '#vm' /vm" "$mnt/$n/ns"
start_vm $n

# --- what it sees --------------------------------------------------------------------------------

same "$(guest $n 'echo $(ls /vm); cat /vm/self /vm/status | cut -d " " -f 1-4')" "$n error events help new self status version
$n
$n $n running -" "the tree at first"
same "$(guest $n "ls -d /vm/$s /vm/sibling /vm/ctl /vm/n /vm/$n/root 2>/dev/null | wc -l")" 0 "what it must not see"
same "$(guest $n "cat /vm/$n/conf")" "$(cat "$mnt/$n/conf")" "its own conf"
lacks "it set its own conf" guest_ $LINENO $n "echo nest 8 2>/dev/null >/vm/$n/conf"
lacks "it bound something for itself" guest_ $LINENO $n "echo 'bind / /host' 2>/dev/null >/vm/$n/ctl"
holds "error says why" grep -q "EPERM ctl 'bind is not for" "$mnt/$n/error"
lacks "it mounted something for itself" guest_ $LINENO $n "echo 'mount unix!/run/x /host' 2>/dev/null >/vm/$n/ctl"
lacks "it changed modes" guest_ $LINENO $n "chmod 666 /vm/$n/ctl 2>/dev/null"
same "$(stat -c %a "$mnt/$n/ctl")" 644 "mode of its ctl"

# --- a child -------------------------------------------------------------------------------------

# rc/start and rc/run by BusyBox, on streams that wait.
c=$(guest $n 'ENNEAD_DIR=/vm /rc/start mem=64M append=quiet')
same "$c" $((n + 1)) "number of the child"
await "$mnt/$c/log" "$(prompt "$c")"
same "$(guest $n "/rc/run $c 'uname -n; echo \$((6*7))'")" "vm$c
42" "what the child printed"
same "$(guest $n "head -n 1 /vm/$c/status | cut -d ' ' -f 1")" running "its status"
same "$(guest $n 'cut -d " " -f 1-5 /vm/status')" "$n $n running - 128M
$c $c running - 64M" "both of them"
same "$(guest $n "sed -n 's/^mode //p' /vm/$c/regs; stat -c %s /vm/$c/mem")" "protected32
$((64 << 20))" "live files"
# One read waits, others are answered meanwhile; a signal ends it.
same "$(guest $n "cat /vm/$c/wait & cat /vm/self; kill \$!; wait \$! 2>/dev/null; echo \$?" | grep -v '^\[')" "$n
143" "a read that waits"
# The child's child: it has nest 0 and no tree of its own yet.
same "$(guest $n "echo bind \"'#vm'\" /vm >/vm/$c/ctl 2>/dev/null || tail -n 3 /vm/$c/error | grep -o cache=loose")" cache=loose "a guest that keeps what it saw"

# Its sources are directories of the tree of the guest that made it.
echo "# $work" >"$work/src/one"
d=$(guest $n 'cat /vm/new')
guest $n "echo mem 32M >/vm/$d/conf; printf '%s\n' \"bind '#vm' /vm\" 'bind /src /there' >/vm/$d/ns && echo start >/vm/$d/ctl"
await "$mnt/$d/log" "$(prompt "$d")"
same "$(guest "$d" 'cat /there/one /vm/self; echo $(ls /vm)')" "# $work
$d
$d error events help new self status version" "the second child"
lacks "a read-only source was written" guest_ $LINENO "$d" 'echo x 2>/dev/null >/there/one'
lacks "nest 0 makes a machine" guest_ $LINENO "$d" 'cat /vm/new 2>/dev/null'
same "$(guest "$d" "sed -n 's/.*EPERM new .\(nesting limit\).*/\1/p' /vm/error | head -n 1")" "nesting limit" "why not"
lacks "a link was followed" guest_ $LINENO $n "ln -s / /up; echo 'bind /up/src /x' 2>/dev/null >/vm/$d/ctl"
lacks "a link was bound" guest_ $LINENO $n "echo 'bind /up /x' 2>/dev/null >/vm/$d/ctl"
lacks "a path of the host" guest_ $LINENO $n "echo 'bind $work/src /x' 2>/dev/null >/vm/$d/ctl"
lacks "an image of the host" guest_ $LINENO $n "echo stop >/vm/$d/ctl; cat /vm/$d/wait >/dev/null; echo 'kernel $build/guest/bzImage.old' 2>/dev/null >/vm/$d/conf"
lacks "more than the cap" guest_ $LINENO $n 'cat /vm/new 2>/dev/null'
same "$(guest $n "sed -n 's/.*\(ENOSPC\) new .*cap 2.*/\1/p' /vm/error | head -n 1")" ENOSPC "why not"
lacks "more memory" guest_ $LINENO $n "echo kill >/vm/$d/ctl; echo mem 128M >/vm/$d/conf; echo start 2>/dev/null >/vm/$d/ctl"
same "$(guest $n "sed -n 's/.*EDQUOT ctl .*\(share 128M\).*/\1/p' /vm/$d/error")" "share 128M" "why not"

# Ends: one by itself, told by wait; one by its maker; and what is made last goes with who made it.
same "$(guest $n "echo poweroff >/vm/$c/cons; /rc/waitall $c; /rc/reap")" "$c poweroff 0
$c
$d" "the end of the child"
lacks "it is still there" test -e "$mnt/$c"
same "$(guest $n 'mkdir /vm/web; cat /vm/web/name; mv /vm/web /vm/wob; echo $(ls -d /vm/w*); rmdir /vm/wob; ls -d /vm/w* 2>/dev/null | wc -l')" "web
/vm/wob
0" "a child with a name"
e=$(guest $n '/rc/start mem=64M append=quiet')
same "$(guest $n "awk '/ $e state running/ { print \$2, \$4; exit }' /vm/events")" "$e running" "events"
echo "echo destroy >/vm/$n/ctl" >"$mnt/$n/cons"
in_time $patience "a guest that destroys itself is gone" test ! -e "$mnt/$n"
lacks "a child outlives its maker" test -e "$mnt/$e"
same "$(cut -d ' ' -f 1 "$mnt/status")" "$s" "machines afterwards"

# --- another server's tree -----------------------------------------------------------------------

start_far() {
    "$build/ennead" --log "$work/far.log" --listen "$far"
    far_server=$(pgrep -f -- "ennead .*--listen $far\$")
    jobs="${jobs:-} $far_server"
}
start_far
echo "mount $far n/far" >"$mnt/ctl"
in_time 10 "the far tree" test -e "$mnt/n/far/version"
g=$(new_vm mem=64M)
refused ENOENT "$mnt/$g/ctl" "bind n/nothing /vm" n/nothing
printf '%s\n' "bind n/far /vm" "bind -r n/far /look" >"$mnt/$g/ns"
cat "$mnt/$g/ns" >"$work/ns"
cat "$work/ns" >"$mnt/$g/ns"
holds "ns gives the same again" cmp "$work/ns" "$mnt/$g/ns"
start_vm "$g"
same "$(guest "$g" 'n=$(cat /vm/new); echo $n; echo "mem 32M" >/vm/$n/conf; echo start >/vm/$n/ctl; cat /look/1/name')" "1
1" "a machine there"
guest "$g" 'until grep -q "vm1:~#" /vm/1/log; do sleep 0.05; done; echo "echo over \$((6*7)) there" >/vm/1/cons; awk "/over 42 there/ { print; exit }" /vm/1/cons' >"$work/out"
holds "its console" grep -q "over 42 there" "$work/out"
lacks "a read-only source made a machine" guest_ $LINENO "$g" 'cat /look/new 2>/dev/null'
lacks "a read-only source took a verb" guest_ $LINENO "$g" 'echo stop 2>/dev/null >/look/1/ctl'
# It vanishes and comes back.
far_vms=$(pgrep -P "$far_server" -x ennead-vm)
vms="${vms:-} $far_vms"
kill -KILL "$far_server"
same "$(guest "$g" 'until ! cat /vm/version >/dev/null 2>&1; do :; done; cat /vm/version 2>&1; ls -d /vm')" "cat: can't open '/vm/version': Input/output error
/vm" "without the far server"
# The next one removes what this one left, if nobody has it any more.
gone() { for pid in $far_vms; do ! kill -0 "$pid" 2>/dev/null || return 1; done; }
in_time $patience "its machines are gone" gone
start_far
same "$(guest "$g" 'until cat /vm/version 2>/dev/null; do sleep 0.05; done; ls /vm/1 2>&1')" "$(cat "$mnt/version")
ls: /vm/1: No such file or directory" "with the far server again"
kill "$far_server"
# A second signal would end it before it has removed its scratch layers.
in_time $patience "the far server ends" test ! -e "/proc/$far_server"
