#!/bin/sh
# SPDX-License-Identifier: MIT
# `ennead run`, `exec` and `ps`: output and status are the command's, whatever stands at the console.
. "$(dirname "$0")/lib.sh"
unset ENNEAD_DIR

# exits STATUS COMMAND…: output in $work/out, words in $work/err.
alias exits='exits_ $LINENO'
exits_() {
    at=$1 expected=$2 got=0
    shift 2
    timeout "$patience" "$@" >"$work/out" 2>"$work/err" || got=$?
    [ "$got" = "$expected" ] || fail_ "$at" "$*: status $got, not $expected: $(cat "$work/err")"
}
says() { grep -qF -- "$1" "$work/err"; }
ennead=$build/ennead

# Without a tree.
exits 1 "$ennead" ps -d "$work"
holds "ps says that there is no tree" says "no tree at $work"
exits 125 "$ennead" run -d "$work" -- true
exits 125 "$ennead" exec -d "$work" 1 true

mount_tree
export ENNEAD_DIR="$mnt"
exits 0 "$ennead" ps --json
same "$(cat "$work/out")" "[]" "JSON of no machines"

# run: one machine for one command, gone afterwards.
exits 7 "$ennead" run -n mem=64M "append=quiet loglevel=1" -- sh -c 'grep -c loglevel=1 /proc/cmdline; exit 7'
same "$(cat "$work/out")" 1 "output of the command"
same "$(cat "$mnt/status")" "" "machines after run"
exits 125 "$ennead" run mem=1 -- true
holds "the words of the tree" says "from 24M to 3G"
exits 125 "$ennead" run kernel=/nonexistent -- true
holds "the words of ctl" says "kernel /nonexistent"
exits 125 "$ennead" run true
holds "settings are asked for" says "true: settings are key=value"
exits 125 "$ennead" run -t 0 -- true
echo poweroff >"$work/keys"
exits 0 sh -c '"$0" run <"$1"' "$ennead" "$work/keys"
holds "the console was shown" grep -qa 'Linux version' "$work/out"
same "$(cat "$mnt/status")" "" "machines after all runs"

# exec: arguments, statuses.
n=$(new_vm append=loglevel=1)
exits 125 "$ennead" exec $n true
holds "a machine that is off is named" says "VM $n is new"
start_vm $n
"$ennead" exec -n $n printf '%s|' "it's" 'a "b"  c' '$HOME `x` \\' '' 'two
lines' '*' -n '!' "$(printf 'tab\there \001\377')" >"$work/out"
printf '%s|' "it's" 'a "b"  c' '$HOME `x` \\' '' 'two
lines' '*' -n '!' "$(printf 'tab\there \001\377')" >"$work/expected"
holds "arguments arrive as they are" cmp "$work/out" "$work/expected"
exits 3 "$ennead" exec -n $n sh -c 'exit 3'
exits 127 "$ennead" exec -n $n no-such-command
exits 137 "$ennead" exec -n $n sh -c 'kill -KILL $$'
exits 125 "$ennead" exec 999 true
holds "a machine that is not there is named" says "no VM 999"
exits 125 "$ennead" exec $n
long=$(head -c 20000 /dev/zero | tr '\0' x)
same "$("$ennead" exec -n $n expr length "$long")" 20000 "length of a long argument"

# Output: exact, long, not ended by a newline; a slow reader loses nothing.
head -c 20000 /dev/urandom >"$work/bytes"
exits 0 sh -c '"$0" exec "$1" cat <"$2"' "$ennead" $n "$work/bytes"
holds "bytes in are bytes out" cmp "$work/out" "$work/bytes"
"$ennead" exec -n $n seq 1 100000 | (read -r first && sleep 0.5 && echo "$first" && cat) >"$work/out"
seq 1 100000 >"$work/expected"
holds "everything arrives" cmp "$work/out" "$work/expected"
same "$("$ennead" exec -n $n sh -c 'printf a; echo b >&2; printf "c\r\nd"' | od -An -c)" \
    "$(printf 'ab\nc\r\nd' | od -An -c)" "output with carriage returns, and no newline at its end"

# Input: to the end, by a command that wants less, by one that wants none.
exits 0 sh -c 'yes | "$0" exec "$1" head -n 2' "$ennead" $n
same "$(cat "$work/out")" "y
y" "what head printed"
exits 0 sh -c 'sleep 60 | { "$0" exec "$1" echo early; kill $(pgrep -P $$ -x sleep); }' "$ennead" $n
same "$(cat "$work/out")" early "output of a command that reads nothing"
same "$(printf 'echo $((6*7))\nexit 5\n' | "$ennead" exec $n sh || echo $?)" "42
5" "a shell's output and status"

# What somebody has typed at the prompt stands there again afterwards.
printf 'echo ha' >"$mnt/$n/cons"
await "$mnt/$n/log" "$(prompt $n)echo ha"
same "$("$ennead" exec -n $n echo between)" between "a command meanwhile"
same "$("$ennead" exec -n $n echo once more)" "once more" "another"
printf 'lf-$((4*4))\n' >"$mnt/$n/cons"
await "$mnt/$n/log" half-16
# Also if the terminal echoed it before the shell had its prompt out, and so twice.
echo 'echo be-$((3*3)); sleep 2' >"$mnt/$n/cons"
await "$mnt/$n/log" be-9
printf 'echo ea' >"$mnt/$n/cons"
await "$mnt/$n/log" "echo ea$(prompt $n)echo ea"
same "$("$ennead" exec -n $n echo between)" between "a command after what was typed early"
printf 'rly-$((5*5))\n' >"$mnt/$n/cons"
await "$mnt/$n/log" early-25

# Many at once take turns, under the machine's number and its name.
echo box >"$mnt/$n/name"
for i in 1 2 3 4; do
    background "$ennead" exec -n $n sh -c "echo a$i; sleep 0.05; echo b$i" >"$work/turn.$i"
    eval "turn$i=$job"
    background "$ennead" exec -n box sh -c "echo c$i; echo d$i" >"$work/other.$i"
    eval "other$i=$job"
done
for i in 1 2 3 4; do
    eval "wait \$turn$i && wait \$other$i"
    same "$(cat "$work/turn.$i")" "a$i
b$i" "output of number $i"
    same "$(cat "$work/other.$i")" "c$i
d$i" "output of number $i by name"
done

# Ctrl-C is the command's; one that heeds it not goes on.
python3 -I -S - "$ennead" $n >"$work/signals" <<'PY'
import signal, subprocess, sys
def run(*words):
    p = subprocess.Popen([sys.argv[1], "exec", "-n", sys.argv[2], "sh", "-c", *words], stdout=subprocess.PIPE)
    p.stdout.read(6)
    return p
p = run("echo begun; exec sleep 100")
p.send_signal(signal.SIGINT)
print(p.wait())
p = run("trap 'echo caught' INT; echo begun; sleep 100; exit 4")
p.send_signal(signal.SIGINT)
print(p.stdout.read().decode().strip(), p.wait())
p = run("echo begun; exec sleep 100")
p.send_signal(signal.SIGTERM)
print(p.wait())
PY
same "$(cat "$work/signals")" "130
caught 4
143" "ends by signals"
lacks "head of yes ends as yes would" sh -c '
    { "$0" exec -n "$1" yes; echo $? >"$2/status"; } | head -n 1 | grep -v y' "$ennead" $n "$work"
same "$(cat "$work/status")" 141 "status of a command whose output nobody takes"

# A program that has the console: refused, and harmless.
echo 'read -r line; echo "got $((3*7)) $line"' >"$mnt/$n/cons"
await "$mnt/$n/log" 'echo "got'
exits 125 "$ennead" exec -n -t 1 $n sh -c 'echo never'
holds "it is told" says "no shell answers"
await "$mnt/$n/log" "got 21"
same "$("$ennead" exec -n $n echo again)" again "a command after that"
lacks "the command ran" has_text "$mnt/$n/log" "never"

# ps; a machine that is paused; one that goes off under a command.
exits 0 "$ennead" ps
same "$(sed -n '2s/  */ /gp' "$work/out" | cut -d ' ' -f 1-5)" "$n box running - 128M" "line of ps"
"$ennead" ps --json | python3 -I -S -c 'import json, sys
[vm] = json.load(sys.stdin)
print(vm["number"], vm["name"], vm["state"], vm["reason"], vm["mem"], vm["uptime"] > 0)' >"$work/out"
same "$(cat "$work/out")" "$n box running None 134217728 True" "JSON of ps"
echo pause >"$mnt/$n/ctl"
exits 125 "$ennead" exec $n true
holds "it is paused" says "VM $n is paused"
echo resume >"$mnt/$n/ctl"
background sh -c '"$0" exec -n "$1" sh -c "echo waiting-here; sleep 100" >"$2/off.out" 2>"$2/off"; echo $? >>"$2/off"' "$ennead" $n "$work"
await "$work/off.out" waiting-here
echo stop >"$mnt/$n/ctl"
wait $job
same "$(cat "$work/off")" "ennead: VM $n went off before the command ended: stop
125" "a machine that goes off"

# run is ended by a signal while its machine boots, and takes it along.
n=$((n + 1))
background "$ennead" run -n kernel="$build/guest/bzImage" cmdline='console=hvc0 root=/dev/none rootwait' -- true 2>"$work/progress"
await "$work/progress" "ennead: VM $n is booting" # after a second
kill -TERM $job
status=0
wait $job || status=$?
same $status 143 "status of run after SIGTERM"
lacks "its machine is there" test -e "$mnt/$n"
