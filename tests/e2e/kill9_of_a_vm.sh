#!/bin/sh
# SPDX-License-Identifier: MIT
# The end of a machine's process is the end of nothing else.
. "$(dirname "$0")/lib.sh"
mount_tree

a=$(new_vm) b=$(new_vm)
echo start >"$mnt/$a/ctl"
start_vm $b
await "$mnt/$a/log" "$(prompt $a)"
guest $a 'echo kept >/kept; sync'

background cat "$mnt/$a/wait" >"$work/wait.a"
waiter=$job
background cat "$mnt/$a/cons" >"$work/cons.a"
reader=$job
background cat "$mnt/$a/com1" >/dev/null
serial=$job
kill -KILL "$(vm_process $a)"
wait $waiter # returns
same "$(cut -d ' ' -f 1-3 "$work/wait.a")" "$a kill SIGKILL" "wait of the killed machine"
wait $reader # end of file
holds "what cons gave is what log has" cmp "$work/cons.a" "$mnt/$a/log"
wait $serial || : # whether it ends with end of file or an error is its own matter; but it ends
same "$(cut -d ' ' -f 1-3 "$mnt/$a/status")" "dead kill SIGKILL" "status of the killed machine"
same "$(sed -n "s/^$a //p" "$mnt/status" | cut -d ' ' -f 2,3)" "dead kill" "line in the list of machines"
for file in regs mem com1 stats; do
    same "$(call read "$mnt/$a/$file")" EBUSY "$file of a dead machine"
    explained EBUSY "$mnt/$a/$file"
done
refused EPIPE "$mnt/$a/cons" hello
holds "log is still there" grep -q 'Linux version' "$mnt/$a/log"

same "$(guest $b 'echo $((6*7))')" 42 "the other machine answers"
start_vm $a
same "$(guest $a 'cat /kept')" kept "a file of the killed machine after the next start"
same "$(guest $b 'echo $((7*8))')" 56 "the other machine answers"

# A crash is told from a kill.
kill -SEGV "$(vm_process $a)"
same "$(ended $a)" "crash SIGSEGV" "end by another signal"
start_vm $a

# The verb.
echo kill >"$mnt/$a/ctl"
same "$(ended $a)" "kill SIGKILL" "end by the verb kill"
refused EBUSY "$mnt/$a/ctl" kill
start_vm $a

# Destruction: what is open answers ENODEV, and the number is never given again.
cat >"$work/open.py" <<'PY'
"""Opens every file of a machine, starts reads that block, then waits for the machine's end."""
import errno, os, sys, threading
vm, ready = sys.argv[1:]
blocked = ["cons", "wait", "events", "com1"]
plain = ["status", "conf", "name", "regs", "mem", "ctl", "error", "log", "ns", "stats", "consctl"]
fds = {name: os.open(f"{vm}/{name}", os.O_RDONLY) for name in blocked + plain}
ends = {}
def read(name):
    try:
        while os.read(fds[name], 1 << 16):
            pass
        ends[name] = "end of file"
    except OSError as e:
        ends[name] = errno.errorcode[e.errno]
threads = [threading.Thread(target=read, args=[name], daemon=True) for name in blocked]
for thread in threads:
    thread.start()
for name in plain:
    os.read(fds[name], 100)
print("ready", file=open(ready, "w"))
for thread in threads:
    thread.join(30)
for name in plain:
    try:
        os.lseek(fds[name], 0, os.SEEK_SET)
        ends[name] = f"{len(os.read(fds[name], 100))} bytes"
    except OSError as e:
        ends[name] = errno.errorcode[e.errno]
for name in blocked + plain:
    print(name, ends.get(name, "still blocked"))
PY
process=$(vm_process $a)
background python3 -I "$work/open.py" "$mnt/$a" "$work/ready" >"$work/ends"
opener=$job
await "$work/ready" ready
echo destroy >"$mnt/$a/ctl"
in_time 5 "the destroyed machine's process is gone" test ! -e "/proc/$process"
wait $opener
for name in cons wait com1 status conf name regs mem ctl error log ns stats consctl; do
    same "$(sed -n "s/^$name //p" "$work/ends")" ENODEV "$name of a destroyed machine, open since before"
done
lacks "events, open since before, is still blocked" grep -q '^events still' "$work/ends"
lacks "the destroyed machine's directory is there" test -e "$mnt/$a"
lacks "the destroyed machine is in the list" grep -q "^$a " "$mnt/status"
same "$(new_vm)" $((b + 1)) "number after a destruction"
same "$(guest $b 'echo $((8*9))')" 72 "the other machine answers"
