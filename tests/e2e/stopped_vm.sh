#!/bin/sh
# SPDX-License-Identifier: MIT
# A machine's process that is stopped holds nobody up: what asks it fails within a second, with
# words; what need not ask it goes on; and when it is continued all is as before.
. "$(dirname "$0")/lib.sh"
mount_tree --listen "unix!$work/socket"

n=$(new_vm) o=$(new_vm mem=64M)
start_vm $n
start_vm $o
same "$(cat "$mnt/$n/consctl")" "size 24 80" "a live file"
process=$(vm_process $n)

# soon COMMAND…: prints what that does, and after how many seconds if it took long.
soon() {
    began=$(date +%s%N)
    timeout 20 "$@" 2>&1 || :
    took=$((($(date +%s%N) - began) / 1000000000))
    [ $took -lt 2 ] || echo "after $took s"
}
call_py=$here/../e2e/call.py
# What is under way as it stops, and what waits for ever anyway.
background call read "$mnt/$n/com1" >"$work/com1"
serial=$job
in_time $patience "com1 is being read" sh -c "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -qF '$mnt/$n/com1'"
kill -STOP "$process"
: >"$mnt/$n/error"
same "$(soon python3 -I -S "$call_py" read "$mnt/$n/regs")" ETIMEDOUT "regs"
explained ETIMEDOUT "$mnt/$n/regs" "process does not answer; kill would end it"
for file in fpregs mem stats map consctl jit/stats root/etc/passwd; do
    same "$(soon python3 -I -S "$call_py" read "$mnt/$n/$file")" ETIMEDOUT "$file"
done
same "$(soon python3 -I -S "$call_py" write "$mnt/$n/cons" x)" ETIMEDOUT "cons"
explained ETIMEDOUT "$mnt/$n/cons" "does not answer"
same "$(soon python3 -I -S "$call_py" write "$mnt/$n/ctl" "pause")" ETIMEDOUT "pause"
explained ETIMEDOUT "$mnt/$n/ctl" "does not answer"
same "$(soon python3 -I -S "$call_py" write "$mnt/$n/ctl" "bind '#ram' /x")" ETIMEDOUT "bind"
explained ETIMEDOUT "$mnt/$n/ctl" "does not answer"
same "$(soon "$build/ennead" 9p -a "unix!$work/socket" cat $n/regs)" \
    "ennead: $n/regs: Connection timed out" "regs over 9P"

# Looked at, without a complaint; other machines go on.
same "$(soon ls -la "$mnt/$n" | wc -l)" "$(($(ls "$mnt/$n" | wc -l) + 3))" "lines of ls -la"
lacks "a complaint of ls" sh -c "ls -la '$mnt/$n' 2>&1 >/dev/null | grep ."
same "$(soon cut -d ' ' -f 1 "$mnt/$n/status")" running "its state"
same "$(guest $o 'echo $((6*7))')" 42 "another machine"

kill -CONT "$process"
in_time 10 "it answers again" sh -c "cat '$mnt/$n/regs' >/dev/null 2>&1"
same "$(guest $n 'echo $((6*7))')" 42 "the machine that was stopped"
same "$(cat "$mnt/$n/consctl")" "size 24 80" "a live file after that"
holds "its tree" cmp "$mnt/$n/root/etc/passwd" "$build/guest/root/etc/passwd"
same "$(guest $n 'echo there >/dev/ttyS0')" "" "its serial line"
wait $serial
same "$(cat "$work/com1")" ok "the read that waited all the time"

# Stopped and then killed.
kill -STOP "$process"
same "$(soon python3 -I -S "$call_py" read "$mnt/$n/regs")" ETIMEDOUT "regs"
echo kill >"$mnt/$n/ctl"
same "$(ended $n)" "kill SIGKILL" "its end"
