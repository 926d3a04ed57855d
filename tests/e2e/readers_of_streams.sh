#!/bin/sh
# SPDX-License-Identifier: MIT
# Blocked readers are interrupted at once, everybody gets everything, and nobody waits who said so.
. "$(dirname "$0")/lib.sh"
mount_tree

n=$(new_vm)

# interrupted SIGNAL FILE: a reader of the file that blocks ends within a second of the signal.
alias interrupted='interrupted_ $LINENO'
interrupted_() {
    # Python, unlike a shell's background job, does not start with SIGINT ignored.
    background python3 -I -S -c '
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
fd = os.open(sys.argv[1], os.O_RDONLY)
while True:
    if not os.read(fd, 65536): break
' "$3"
    in_time_ "$1" $patience "the reader of $3 sleeps" grep -q '^State:.S' "/proc/$job/status"
    in_time_ "$1" $patience "the reader of $3 sleeps in its read" reads $job
    kill "-$2" $job
    in_time_ "$1" 1 "the reader of ${3##*/} is gone after SIG$2" ended_process $job
}
ended_process() { ! grep -qs '^State:.[^Z]' "/proc/$1/status"; }
# In the system call read, number 0, of the descriptor of the stream.
reads() { grep -qs '^0 0x[^0-2 ]' "/proc/$1/syscall" && [ "$(readlink "/proc/$1/fd/3")" ]; }
[ "$(uname -m)" = x86_64 ] || reads() { sleep 0.5; }

for file in "$n/cons" "$n/wait" "$n/events" events; do
    interrupted INT "$mnt/$file"
done
interrupted KILL "$mnt/$n/cons"
for file in cons wait events; do
    # What there is comes first.
    [ $file = events ] || answers EAGAIN nonblock "$mnt/$n/$file"
done
answers ok nonblock "$mnt/$n/events"

# Ten readers of one console, the first half from before the start.
readers=
for i in 1 2 3 4 5; do
    background cat "$mnt/$n/cons" >"$work/cons.$i"
    readers="$readers $job"
done
start_vm $n
for i in 6 7 8 9 10; do
    background cat "$mnt/$n/cons" >"$work/cons.$i"
    readers="$readers $job"
done
for file in cons com1 com2 wait; do
    interrupted INT "$mnt/$n/$file"
done
answers EAGAIN nonblock "$mnt/$n/com2"
answers EAGAIN nonblock "$mnt/$n/wait"
guest $n 'i=0; while [ $i -lt 300 ]; do echo "line $i of many for everybody"; i=$((i+1)); done' >"$work/many"
same "$(grep -c . "$work/many")" 300 "lines seen by one more reader, log"

# Somebody who comes late gets what was said before, and two readers do not share a position.
timeout 5 head -c 100 "$mnt/$n/cons" >"$work/late"
holds "history begins at the beginning" cmp -n 100 "$work/late" "$mnt/$n/log"

# poll tells, and a writer is not held up by readers who do not read.
cat >"$work/poll.py" <<'PY'
import os, select, sys, time
cons = os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK)
poll = select.poll()
poll.register(cons, select.POLLIN)
def drain():
    try:
        while os.read(cons, 65536): pass
    except BlockingIOError:
        pass
drain()
assert poll.poll(200) == [], "nothing to read, and poll says there is"
start = time.monotonic()
os.write(cons, b"echo polled=$((7*11))\n")
text = b""
while b"polled=77" not in text:
    assert time.monotonic() - start < 60, text
    if poll.poll(1000):
        try: text += os.read(cons, 65536)
        except BlockingIOError: pass
PY
python3 -I "$work/poll.py" "$mnt/$n/cons"

echo poweroff >"$mnt/$n/cons"
same "$(ended $n)" "poweroff 0" "end"
wait $readers
for i in 1 2 3 4 5 6 7 8 9 10; do
    holds "reader $i got everything" cmp "$work/cons.$i" "$mnt/$n/log"
done
# A reader of the console of a machine that is off gets its history and the end.
timeout 10 cat "$mnt/$n/cons" >"$work/cons.11"
holds "the reader after the end got everything" cmp "$work/cons.11" "$mnt/$n/log"

# Destruction ends those who wait.
m=$(new_vm)
background call read "$mnt/$m/wait" >"$work/wait"
waiter=$job
in_time $patience "the reader has opened wait" sh -c "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -qF '$mnt/$m/wait'"
echo destroy >"$mnt/$m/ctl"
in_time 2 "the reader of a destroyed machine's wait is gone" ended_process $waiter
wait $waiter
same "$(cat "$work/wait")" ENODEV "wait of a destroyed machine"
