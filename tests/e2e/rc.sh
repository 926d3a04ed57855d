#!/bin/sh
# SPDX-License-Identifier: MIT
# Every script of rc/ does what it says; some of them in a guest too, on the tree of another server.
. "$(dirname "$0")/lib.sh"
rc=$(cd "$here/../../rc" && pwd)

# All of them are read by a shell that knows no more than POSIX, and by a checker if there is one.
for script in "$rc"/*; do
    [ -f "$script" ] || continue
    ! command -v dash >/dev/null || dash -n "$script"
    ! command -v shellcheck >/dev/null || shellcheck -s sh -S warning -e SC2002 "$script"
    holds "$script says how it is used" grep -q "^# usage: ${script##*/}" "$script"
    same "$(head -n 1 "$script")" '#!/bin/sh' "first line of $script"
done

mount_tree
export ENNEAD_DIR="$mnt"
fails() { ! "$@" >"$work/out" 2>"$work/err"; }

background "$rc/watch" >"$work/watched"
background "$rc/panics" >"$work/panicked"

# start, with a value of several words; refused settings.
a=$("$rc/start" mem=64M "append=quiet loglevel=1 it's=1")
same "$a" 1 "number that start gives"
holds "the settings are made" grep -qx "append 'quiet loglevel=1 it''s=1'" "$mnt/$a/conf" ||
    grep append "$mnt/$a/conf"
await "$mnt/$a/log" "$(prompt $a)"
holds "a bad setting fails" fails "$rc/start" mem=1
holds "in words" grep -q 'from 24M' "$work/err"
holds "a start that fails" fails "$rc/start" kernel=/nonexistent
holds "in words" grep -q /nonexistent "$work/err"
same "$(wc -l <"$mnt/status")" 1 "machines after failures"

# run
same "$("$rc/run" $a 'echo one; echo "two  three" >&2; uname -n')" "one
two  three
vm$a" "output of run"
status=0
"$rc/run" $a '(exit 9)' >"$work/out" || status=$?
same "$status $(cat "$work/out")" "9 " "status of run"
same "$("$rc/run" $a seq 1 3000 | md5sum)" "$(seq 1 3000 | md5sum)" "long output of run"

# copy, regdiff, peek
echo "bind -r $rc /rc" >"$mnt/$a/ctl"
b=$("$rc/copy" $a twin)
same "$b" "$(cat "$mnt/twin/ctl")" "number that copy gives"
holds "conf is copied" cmp "$mnt/$a/conf" "$mnt/$b/conf"
holds "ns is copied" cmp "$mnt/$a/ns" "$mnt/$b/ns"
echo start >"$mnt/$b/ctl"
await "$mnt/$b/log" "$(prompt $b)"
for n in $a $b; do echo pause >"$mnt/$n/ctl"; done
printf 'eax 0x11\nebx 5\n' >"$mnt/$a/regs"
cat "$mnt/$a/regs" >"$work/regs"
sed '/^tsc/d; s/^eax .*/eax 0x12/' "$work/regs" >"$mnt/$b/regs"
status=0
"$rc/regdiff" $a $b >"$work/out" || status=$?
same "$status $(grep -v ^tsc "$work/out")" "1 eax 0x00000011 0x00000012" "difference of registers"
holds "a machine does not differ from itself" "$rc/regdiff" $a $a
same "$("$rc/peek" $a 0x100000 20)" "$(dd if="$mnt/$a/mem" bs=1 skip=$((0x100000)) count=20 status=none |
    od -A n -t x1)" "memory"
printf '\336\255' | dd of="$mnt/$b/mem" bs=1 seek=$((0x5000)) conv=notrunc status=none
same "$("$rc/peek" $b 0x5000 2)" " de ad" "memory that was written"
echo destroy >"$mnt/$b/ctl"

# trace and breaks, of a program of our own: inc eax; jmp back.
sed -n 's/^\(eip\|esp\) //p' "$mnt/$a/regs" >"$work/place"
c=$(cat "$mnt/new")
printf '\372\100\353\375' >"$work/loop" # cli; inc eax; jmp
printf 'boot bios\nbios %s\n' "$work/bios" >"$work/conf"
python3 -I -S -c 'import sys
rom = bytearray(b"\xf4" * 65536)
rom[0:4] = b"\xfa\x40\xeb\xfd"                # f000:0000  cli; l: inc eax; jmp l
rom[0xfff0:0xfff5] = b"\xea\x00\x00\x00\xf0"  # the reset vector: jmp f000:0000
open(sys.argv[1], "wb").write(rom)' "$work/bios"
cat "$work/conf" >"$mnt/$c/conf"
echo start >"$mnt/$c/ctl"
spins() { [ "$(sed -n 's/^cs //p' "$mnt/$c/regs")" = 0xf000 ]; }
in_time $patience "the loop runs" spins
echo pause >"$mnt/$c/ctl"
printf 'eip 1\neax 0x100\n' >"$mnt/$c/regs"
"$rc/trace" $c 5 >"$work/out"
same "$(cut -d ' ' -f 1,3 "$work/out")" "0x00000001 0x00000100
0x00000002 0x00000101
0x00000001 0x00000101
0x00000002 0x00000102
0x00000001 0x00000102" "trace"
same "$(state $c)" paused "state after the trace of a paused machine"
echo 'w 0x7000 4 3' >"$mnt/$c/bp"
echo resume >"$mnt/$c/ctl"
"$rc/breaks" $c 0xf0002 3 >"$work/out"
same "$(cut -d ' ' -f 1 "$work/out")" "0x00000002
0x00000002
0x00000002" "where the breakpoint was met"
first=$(($(sed -n '1s/^[^ ]* \([^ ]*\) .*/\1/p' "$work/out")))
same "$(cut -d ' ' -f 2 "$work/out" | tail -n 1)" "$(printf '0x%08x' $((first + 2)))" "rounds"
same "$(cat "$mnt/$c/bp")" "w 0x00007000 4 3" "other breakpoints"
same "$(state $c)" running "state after breaks"
"$rc/profile" $c 20 >"$work/out"
same "$(awk '{ n += $1 } END { print n }' "$work/out")" 20 "samples"
lacks "a place outside the loop" grep -qv ' 0x0000000[12]$' "$work/out"

# attach: keys, the way out, and the terminal's size.
echo resume >"$mnt/$a/ctl"
mkfifo "$work/keys"
exec 5<>"$work/keys"
background python3 -I -S "$here/terminal.py" "$work/keys" "$rc/attach" $a >"$work/shown" 2>"$work/asked"
await "$work/shown" "$(prompt $a)"
printf 'echo at-$((5*5)); stty size\r' >&5
await "$work/shown" at-25
await "$work/shown" "30 100"
printf '\035' >&5
in_time $patience "attach ends" sh -c "! kill -0 $job 2>/dev/null"

# tmux
if command -v tmux >/dev/null; then
    mkdir "$work/tmux"
    TMUX_TMPDIR="$work/tmux" && export TMUX_TMPDIR
    "$rc/tmux" </dev/null
    same "$(tmux list-windows -t ennead -F '#{window_name}')" "vm$a
vm$c" "windows"
    trap 'tmux kill-server 2>/dev/null; finish' EXIT
    tmux send-keys -t "ennead:vm$a" 'echo pane-$((6*6))' Enter
    await "$mnt/$a/log" pane-36
    tmux kill-server
    trap finish EXIT
fi
holds "without tmux it says so" fails env PATH="$work/nothing" /bin/sh "$rc/tmux"

# waitall, panics, reap
background "$rc/waitall" $a $c >"$work/waited"
waiter=$job
"$rc/run" $a 'echo c >/proc/sysrq-trigger' >"$work/out" 2>&1 || :
echo stop >"$mnt/$c/ctl"
status=0
wait $waiter || status=$?
same "$status $(cat "$work/waited")" "1 $a panic 0
$c stop 0" "waitall"
await "$work/panicked" "machine $a panicked:"
await "$work/panicked" "sysrq triggered crash"
same "$("$rc/reap")" "$a
$c" "reaped"
same "$(cat "$mnt/status")" "" "machines afterwards"
await "$work/watched" " $a state stopped panic 0"
await "$work/watched" " $c state destroyed"
lacks "a line without a time" grep -qv '^[0-2][0-9]:[0-5][0-9]:[0-6][0-9] [0-9]* ' "$work/watched"

# cluster
"$rc/cluster" 3 mem=48M append=quiet -- 'uname -n; echo $((3*3))' | sort >"$work/out"
d=$(sed -n '1s/:.*//p' "$work/out")
same "$(cat "$work/out")" "$d: 9
$d: vm$d
$((d + 1)): 9
$((d + 1)): vm$((d + 1))
$((d + 2)): 9
$((d + 2)): vm$((d + 2))" "cluster"
same "$(cat "$mnt/status")" "" "machines after cluster"

# In a guest, by BusyBox, with the tree of another server as a host directory.
mkdir "$work/other"
"$build/ennead" "$work/other"
g=$(cat "$mnt/new")
printf 'bind %s /vm\nbind -r %s /rc\n' "$work/other" "$rc" >>"$mnt/$g/ns"
start_vm $g
same "$(guest $g '/rc/start mem=32M')" 1 "start in a guest"
await "$work/other/1/log" "vm1:~# "
same "$(guest $g '/rc/run 1 "uname -n; echo \$((6*7))"')" "vm1
42" "run in a guest"
same "$(guest $g "awk '/ 1 state running/ { print \$2, \$4; exit }' /vm/events")" "1 running" "events in a guest"
same "$(guest $g 'cat /vm/1/wait & cat /vm/1/ctl; kill $!; wait $! 2>/dev/null; echo $?' | grep -v '^\[')" "1
143" "a read that waits in a guest"
same "$(guest $g '/rc/copy 1')" 2 "copy in a guest"
holds "conf is copied" cmp "$work/other/1/conf" "$work/other/2/conf"
same "$(guest $g 'echo stop >/vm/1/ctl; /rc/reap')" "1" "reap in a guest"
echo quit >"$work/other/ctl"
echo stop >"$mnt/$g/ctl"
in_time $patience "the other server has ended" sh -c "! grep -qF ' $work/other fuse' /proc/self/mounts"
