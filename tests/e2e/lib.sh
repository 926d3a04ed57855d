# SPDX-License-Identifier: MIT
# What every end-to-end test needs: a tree of its own, VMs in it, waiting with deadlines, and
# assertions that name the line of the test.
#
# A test sources this file, then calls mount_tree. However it ends, what it started ends with it; a
# test that passed but left a process, a mount or a file behind fails.
#
# Functions whose names end in _ are called by the alias without it, which adds the line number.
# shellcheck shell=sh disable=SC2034,SC2154
set -eu

# Debian's dash knows no LINENO; bash as a POSIX shell does.
# shellcheck disable=SC3028
if [ -z "${LINENO:-}" ] && command -v bash >/dev/null; then
    exec bash --posix "$0" "$@"
fi

PATH=/usr/bin:/bin:$PATH # ahead of version managers, whose python3 takes a second to start
build=$(cd "${BUILD:-build}" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
test_name=$(basename "$0")
patience=60 # seconds that anything may take which takes one at most on a quiet machine

skip() {
    echo "$*"
    exit 77
}
for tool in python3 pgrep fusermount3; do
    command -v $tool >/dev/null || skip "$tool is not installed"
done
if ! (: <>/dev/fuse) 2>/dev/null; then
    skip "/dev/fuse is missing or may not be opened"
fi

# Scratch layers need extended attributes, which a /tmp in memory may not have.
work=$(mktemp -d "${TMPDIR:-/var/tmp}/ennead-e2e.XXXXXX")
mnt=$work/vm
export TMPDIR="$work/state"
mkdir "$mnt" "$TMPDIR"
unset ENNEAD_DIR
server=

# --- the end -------------------------------------------------------------------------------------

mounted() { grep -qF " ${1:-$mnt} fuse" /proc/self/mounts; }

# Every process that has this test's directory among its words, and the VMs of those.
our_processes() {
    for pid in $(pgrep -f -- "$work"); do
        [ "$pid" != $$ ] || continue
        echo "$pid"
        pgrep -P "$pid" -x ennead-vm || :
    done
    for pid in ${vms:-}; do
        grep -qsx ennead-vm "/proc/$pid/comm" && echo "$pid"
    done
    :
}

# Tries "$@" every twentieth of a second for $1 seconds.
within() {
    until=$(($(date +%s) + $1 + 1))
    shift
    until "$@"; do
        [ "$(date +%s)" -lt $until ] || return 1
        sleep 0.05
    done
}

nothing_runs() { [ -z "$(our_processes)" ]; }

finish() {
    status=$?
    trap '' INT TERM HUP
    set +e
    mnt=$work/vm # also for a test that has looked further in
    for pid in ${jobs:-}; do kill "$pid" 2>/dev/null; done
    vms="${vms:-} $([ -z "$server" ] || pgrep -P "$server" -x ennead-vm)"
    mounted && timeout 10 sh -c 'echo quit >"$1/ctl"' - "$mnt" 2>/dev/null
    if ! within 5 nothing_runs; then
        echo "$test_name: processes were left:" && ps -o pid,ppid,stat,args $(our_processes)
        [ $status -ne 0 ] || status=1
        kill -KILL $(our_processes) 2>/dev/null
    fi
    grep -F " $work/" /proc/self/mounts | while read -r _ point _; do
        echo "$test_name: $point was left mounted"
        fusermount3 -u -z "$point"
    done | grep . && [ $status -eq 0 ] && status=1
    if [ -n "$(ls -A "$TMPDIR")" ]; then
        echo "$test_name: left in the directory of scratch layers: $(ls -A "$TMPDIR")"
        [ $status -ne 0 ] || status=1
    fi
    if [ $status -ne 0 ] && [ $status -ne 77 ] && [ -s "$work/server.log" ]; then
        echo "the server's log ends:" && tail -n 15 "$work/server.log"
    fi
    rm -rf --one-file-system "$work"
    trap - EXIT
    exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- assertions ----------------------------------------------------------------------------------

alias fail='fail_ $LINENO'
fail_() {
    at=$1
    shift
    echo "$test_name:$at: $*" >&2
    exit 1
}

# same ACTUAL EXPECTED WHAT
alias same='same_ $LINENO'
same_() {
    [ "$2" = "$3" ] || fail_ "$1" "$4: got '$2', not '$3'"
}

# holds WHAT COMMAND…: the command succeeds.
alias holds='holds_ $LINENO'
holds_() {
    at=$1 what=$2
    shift 2
    "$@" || fail_ "$at" "not so: $what"
}

# lacks WHAT COMMAND…: the command fails.
alias lacks='lacks_ $LINENO'
lacks_() {
    at=$1 what=$2
    shift 2
    "$@" && fail_ "$at" "is so, and should not be: $what"
    [ $? -ne 127 ] || fail_ "$at" "no such command: $1"
}

has_text() { grep -qaF -- "$2" "$1" 2>/dev/null; }

# await FILE TEXT [SECONDS]: the text comes to stand in the file.
alias await='await_ $LINENO'
await_() {
    within "${4:-$patience}" has_text "$2" "$3" && return
    echo "$2 ends:" >&2
    tail -n 15 "$2" >&2 || :
    fail_ "$1" "no '$3' came in ${2#"$work/"}"
}

# in_time SECONDS WHAT COMMAND…: the command comes to succeed.
alias in_time='in_time_ $LINENO'
in_time_() {
    at=$1 limit=$2 what=$3
    shift 3
    within "$limit" "$@" || fail_ "$at" "not within $limit s: $what"
}

# What an operation of the kernel's answers: `ok` or the name of its errno. The first word is
# write, read or another subcommand of call.py.
call() { python3 -I -S "$here/../e2e/call.py" "$@"; }

# answers ERRNO write FILE TEXT: and so on; nothing about `error`.
alias answers='answers_ $LINENO'
answers_() {
    at=$1 expected=$2
    shift 2
    got=$(call "$@")
    [ "$got" = "$expected" ] || fail_ "$at" "$(echo "$*" | cut -c1-200): got '$got', not '$expected'"
}

# refused ERRNO FILE TEXT [WORDS]: a write fails so, and the nearest `error` has a new line that
# says so, with WORDS in it.
alias refused='refused_ $LINENO'
refused_() {
    : >"${3%/*}/error"
    answers_ "$1" "$2" write "$3" "$4"
    explained_ "$1" "$2" "$3" "${5:-}"
}

# explained ERRNO FILE [WORDS]: the last line of the nearest `error` is about FILE.
alias explained='explained_ $LINENO'
explained_() {
    record=
    while IFS= read -r line; do
        case $line in [0-9]*) record=$line ;; esac
    done <"${3%/*}/error"
    case $record in
    [0-9]*\ [0-9]*\ "$2 ${3##*/} ''"*) fail_ "$1" "error gives no words: $record" ;;
    [0-9]*\ [0-9]*\ "$2 ${3##*/} '"*"${4:-}"*"'") ;;
    *) fail_ "$1" "error says '$record', not $2 of ${3##*/} with '${4:-}'" ;;
    esac
}

# --- trees and machines --------------------------------------------------------------------------

# Starts a server at $mnt; sets server to its process.
alias mount_tree='mount_tree_ $LINENO'
mount_tree_() {
    at=$1
    shift
    "$build/ennead" --log "$work/server.log" "$@" "$mnt" || fail_ "$at" "the tree was not mounted"
    server=$(pgrep -f -- "ennead .*$mnt\$")
}

# new_vm [key=value…]: gives the number of a new machine.
new_vm() {
    if [ $# = 0 ]; then
        cat "$mnt/new"
    else
        (echo "$@" >&3 && cat <&3) 3<>"$mnt/new"
    fi
}

# The process of VM N.
vm_process() { pgrep -P "$server" -f "^ennead-vm $1\$"; }

prompt() { echo "vm$1:~# "; }

# start_vm N: and wait for its shell.
alias start_vm='start_vm_ $LINENO'
start_vm_() {
    : >"$mnt/$2/log" # of an earlier run, which had a prompt as well
    echo start >"$mnt/$2/ctl" || {
        cat "$mnt/$2/error" >&2
        fail_ "$1" "VM $2 does not start"
    }
    await_ "$1" "$mnt/$2/log" "$(prompt "$2")"
}

log_size() { stat -c %s "$mnt/$1/log"; }

# guest N COMMAND [SECONDS]: types one line into the shell of VM N, prints what it printed, and gives
# its exit status. The marks around the output are computed in the guest, so that the echo of what
# was typed does not look like them.
alias guest='guest_ $LINENO'
guest_() {
    from=$(log_size "$2")
    printf '%s\n' "echo '<'\$(($from+1)); $3; echo '>'\$?=\$(($from+2))" >"$mnt/$2/cons"
    guest_output=$work/guest.$2
    within "${4:-$patience}" guest_answered "$2" "$from" || {
        tail -n 15 "$mnt/$2/log" >&2
        fail_ "$1" "VM $2 did not answer '$3'"
    }
    sed -e "1,/^<$((from + 1))\$/d" -e "/^>[0-9]*=$((from + 2))\$/,\$d" "$guest_output"
    guest_status=$(sed -n "s/^>\([0-9]*\)=$((from + 2))\$/\1/p" "$guest_output")
    [ "$guest_status" = 0 ] || echo "$test_name:$1: '$3': status $guest_status" >&2
    return "$guest_status"
}
guest_answered() {
    tail -c 100 "$mnt/$1/log" | tr -d '\r' | grep -qa "^>[0-9]*=$(($2 + 2))\$" || return 1
    tail -c "+$(($2 + 1))" "$mnt/$1/log" | tr -d '\r' >"$guest_output"
}

state() { cut -d ' ' -f 1 "$mnt/$1/status"; }

# ended N: waits for the end of VM N, and gives `reason code`.
alias ended='ended_ $LINENO'
ended_() {
    timeout "$patience" cat "$mnt/$2/wait" >"$work/wait.$2" || fail_ "$1" "VM $2 did not end"
    cut -d ' ' -f 2,3 "$work/wait.$2"
}

# background COMMAND…: runs until the test's end at the latest; sets job.
background() {
    "$@" &
    job=$!
    jobs="${jobs:-} $job"
}
