#!/bin/sh
# SPDX-License-Identifier: MIT
# Whatever ends the server ends it cleanly: machines, mount, blocked readers and files with it.
. "$(dirname "$0")/lib.sh"

ended_process() { ! grep -qs '^State:.[^Z]' "/proc/$1/status"; }
all_gone() {
    for pid in $server $vms $readers; do ended_process "$pid" || return 1; done
    ! mounted && [ -z "$(ls -A "$TMPDIR")" ]
}
unmount_tree() { fusermount3 -u "$mnt"; }

# A running machine, a paused one, and readers that block.
populate() {
    a=$(new_vm mem=32M) b=$(new_vm mem=32M) c=$(new_vm)
    echo start >"$mnt/$a/ctl"
    printf 'start\npause\n' >"$mnt/$b/ctl"
    await "$mnt/$a/log" 'Linux version'
    vms="$(vm_process $a) $(vm_process $b)"
    readers=
    [ "$1" = busy ] || return 0
    for file in "$a/cons" "$a/wait" "$c/cons" "$a/com2" events; do
        background cat "$mnt/$file" >/dev/null 2>&1
        readers="$readers $job"
    done
}

while read -r how busy; do
    mount_tree
    populate "$busy"
    case $how in
    quit) echo quit >"$mnt/ctl" ;;
    unmount)
        # The kernel refuses this while files are open.
        unmount_tree
        ;;
    *) kill "-$how" "$server" ;;
    esac
    in_time 2 "everything is gone after $how ($busy)" all_gone
done <<'END'
quit busy
quit idle
unmount idle
TERM busy
INT busy
END

# With files open, unmounting is refused and nothing has happened; lazily, it is the end.
mount_tree
populate busy
lacks "a busy tree is unmounted" sh -c 'fusermount3 -u "$0" 2>/dev/null' "$mnt"
same "$(state "$a")" running "state after a refused unmount"
fusermount3 -u -z "$mnt"
kill $readers
in_time 2 "everything is gone after a lazy unmount" all_gone

# In the foreground: serves until interrupted, says so by its exit status, logs to standard error.
"$build/ennead" -f "$mnt" 2>"$work/foreground.log" &
server=$!
jobs="${jobs:-} $server"
in_time $patience "the tree of a server in the foreground is there" test -e "$mnt/version"
populate idle
kill -INT $server
status=0
wait $server || status=$?
same $status 0 "exit status of an interrupted server"
in_time 2 "everything is gone after the foreground" all_gone
"$build/ennead" serve "$mnt"
server=$(pgrep -f -- "ennead serve $mnt\$")
holds "serve is the same" test -e "$mnt/version"
holds "the log names its file" "$build/ennead" --version >/dev/null

# complains WORDS ARGUMENT…: one clear line on standard error, and an exit status that is not 0.
alias complains='complains_ $LINENO'
complains_() {
    at=$1 words=$2
    shift 2
    status=0
    "$build/ennead" "$@" >"$work/out" 2>"$work/err" || status=$?
    [ $status -ne 0 ] || fail_ "$at" "ennead $* succeeds"
    same_ "$at" "$(cat "$work/out")" "" "standard output of ennead $*"
    same_ "$at" "$(wc -l <"$work/err")" 1 "lines on standard error of ennead $* ($(cat "$work/err"))"
    case $(cat "$work/err") in
    "ennead: "*"$words"*) ;;
    *) fail_ "$at" "ennead $* says '$(cat "$work/err")', nothing about '$words'" ;;
    esac
}
: >"$work/file"
mkdir "$work/empty"
for foreground in '' -f; do
    complains "no such directory" $foreground "$work/missing"
    complains "no such directory" $foreground "$work/missing/deeper"
    complains "irectory" $foreground "$work/file"
    complains "already" $foreground "$mnt"
    complains "$work/nowhere/log" $foreground --log "$work/nowhere/log" "$work/empty"
done
same "$(cat "$mnt/status")" "" "the tree that was there before"
lacks "a directory stays mounted after a failed start" mounted "$work/empty"
echo quit >"$mnt/ctl"
in_time 2 "everything is gone" all_gone

# usage errors
for words in '' "$mnt $mnt" '--nonsense' '-x'; do
    status=0
    "$build/ennead" $words >"$work/out" 2>"$work/err" || status=$?
    same $status 2 "exit status of 'ennead $words'"
    holds "'ennead $words' shows the usage" grep -q '^usage: ennead' "$work/err"
    same "$(cat "$work/out")" "" "standard output of 'ennead $words'"
done
holds "--help is the usage" sh -c '"$0" --help | grep -q "^usage: ennead"' "$build/ennead"
holds "--version is one line" test "$("$build/ennead" --version | grep -cE '^ennead [0-9]')" = 1
status=0
"$build/ennead-vm" </dev/null >"$work/out" 2>"$work/err" || status=$?
holds "ennead-vm by hand says who starts it" grep -q 'started by ennead' "$work/err"
lacks "ennead-vm by hand succeeds" test $status = 0
