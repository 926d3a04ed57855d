#!/bin/sh
# SPDX-License-Identifier: MIT
# `hangup` ends what runs at the guest's terminals, of which the console then has a new shell.
. "$(dirname "$0")/lib.sh"
mount_tree

n=$(new_vm)
start_vm $n
shell=$(guest $n 'echo $$')
leader=$(guest $n 'sed "s/.*) . \([0-9]*\).*/\1/" /proc/$$/stat')
# A session at COM1 that minds the carrier.
guest $n "echo 'trap \"echo hung up >/tmp/told; exit\" HUP; stty -clocal; echo yes >/tmp/ready; read -r line' >/tmp/at-com1"
guest $n 'setsid setsid -c sh /tmp/at-com1 </dev/ttyS0 >/dev/ttyS0 2>&1'
in_time $patience "the session at COM1 minds the carrier" guest_ $LINENO $n 'cat /tmp/ready 2>/dev/null' >/dev/null
: >"$mnt/$n/log"
printf 'half a line' >"$mnt/$n/cons"
refused EINVAL "$mnt/$n/consctl" 'hangup now'
echo hangup >"$mnt/$n/consctl"
await "$mnt/$n/log" "$(prompt $n)"
in_time $patience "the session at COM1 is told" guest_ $LINENO $n 'cat /tmp/told 2>/dev/null' >/dev/null
lacks "the old shell is there" guest_ $LINENO $n "test -e /proc/$shell" 2>/dev/null
lacks "its leader is there" guest_ $LINENO $n "test -e /proc/$leader" 2>/dev/null
lacks "it is the same shell" test "$(guest $n 'echo $$')" = "$shell"
same "$(guest $n 'tty; echo $((3*111))')" "/dev/hvc0
333" "the new shell"

# Time and again, also when nobody has taken the first one in.
echo pause >"$mnt/$n/ctl"
printf 'hangup\nhangup\n' >"$mnt/$n/consctl"
: >"$mnt/$n/log"
echo resume >"$mnt/$n/ctl"
await "$mnt/$n/log" "$(prompt $n)"
echo 'size 30 90' >"$mnt/$n/consctl"
same "$(guest $n 'stty size')" "30 90" "the size of the new terminal"
echo poweroff >"$mnt/$n/cons"
same "$(ended $n)" "poweroff 0" "the end"
