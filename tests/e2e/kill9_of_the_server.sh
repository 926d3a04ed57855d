#!/bin/sh
# SPDX-License-Identifier: MIT
# A server that is killed takes its machines with it; the next one cleans up behind it.
. "$(dirname "$0")/lib.sh"
mount_tree

a=$(new_vm) b=$(new_vm)
start_vm $a
echo start >"$mnt/$b/ctl"
vms="$(vm_process $a) $(vm_process $b)"
state_dir=$(ls -d "$TMPDIR"/ennead-*) || skip "no extended attributes in ${TMPDIR%/*}: the server keeps its state elsewhere"
holds "the state directory has the machines' layers" test -d "$state_dir/$a/upper" -a -d "$state_dir/$b/upper"
background cat "$mnt/$a/cons" >/dev/null
reader=$job

kill -KILL "$server"
# A process that has ended may wait for its new parent to take notice.
no_vms() { ! grep -q '^State:.[^Z]' $(printf '/proc/%s/status ' $vms) 2>/dev/null; }
in_time 1 "no machine's process is left" no_vms
wait $reader && fail "the reader of the console saw no error"
same "$(call open "$mnt/version")" ENOTCONN "the tree of the killed server"
holds "the dead server's directory is still there" test -d "$state_dir"

# The same mount point again, and nobody has to clean up by hand.
mount_tree
lacks "the dead server's directory outlives the start of the next" test -e "$state_dir"
same "$(ls -d "$TMPDIR"/ennead-* | grep -c .)" 1 "state directories"
same "$(grep -cF " $mnt fuse" /proc/self/mounts)" 1 "mounts"
same "$(cat "$mnt/status")" "" "machines of the new server"
n=$(new_vm)
start_vm $n
same "$(guest $n 'echo $((5*5))')" 25 "a machine of the new server"

# A living server's directory is left alone by another one.
state_dir=$(ls -d "$TMPDIR"/ennead-*)
mkdir "$work/second"
"$build/ennead" "$work/second"
holds "the first server's directory is still there" test -d "$state_dir/$n/upper"
echo quit >"$work/second/ctl"
same "$(guest $n 'echo $((6*6))')" 36 "a machine of the first server"
in_time 5 "the second server's directory is gone" sh -c "[ \$(ls '$TMPDIR' | grep -c .) = 1 ]"
