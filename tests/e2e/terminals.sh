#!/bin/sh
# SPDX-License-Identifier: MIT
# A terminal attached to a machine answers its shell; one that only shows the output is not asked.
. "$(dirname "$0")/lib.sh"
mount_tree

question=$(printf '\033[6n')
n=$(new_vm)
background cat "$mnt/$n/cons" >"$work/cons"
start_vm $n
same "$(guest $n 'echo $((6*7))')" 42 "a value computed in the guest"

# in_terminal COMMAND…: in a terminal, whose keys are typed into $work/keys; sets job.
mkfifo "$work/keys"
exec 5<>"$work/keys"
in_terminal() {
    background python3 -I -S "$here/terminal.py" "$work/keys" "$@" >"$work/shown" 2>"$work/asked"
}
type_keys() { printf '%s' "$1" >&5; }
gone() { ! kill -0 $job 2>/dev/null; }

# With `ennead attach` the shell's line editor asks, and is answered; nothing of it is seen.
in_terminal "$build/ennead" attach -d "$mnt" $n
await "$work/shown" "$(prompt $n)"
type_keys "$(printf 'echo nine-$((3*4))\177\177\177\177\1773*3))\r')"
await "$work/shown" nine-9
type_keys "$(printf 'stty size; echo "<$(cat)>"\r')"
await "$work/shown" "30 100"
type_keys "$(printf 'typed\r\004')"
await "$work/shown" "<typed>"
# The line editor asks only while nothing is typed: before this line that is up to chance.
in_time $patience "the terminal is asked" test -s "$work/asked"
type_keys "$(printf '\035')" # Ctrl-]
in_time $patience "attach ends" gone
lacks "an answer was echoed" grep -qaF '[3;8R' "$work/shown"

# Who comes back is not asked again what was asked before.
in_terminal "$build/ennead" attach -d "$mnt" $n
await "$work/shown" "<typed>"
type_keys "$(printf '\035')"
in_time $patience "attach ends" gone
same "$(cat "$work/asked")" "" "questions out of the history"

# What only shows the output is asked nothing.
in_terminal sh -c "timeout 2 cat '$mnt/$n/cons'; cat '$mnt/$n/log'; \
    echo 'echo last-\$((1+1))' | timeout 2 '$build/ennead' attach -d '$mnt' $n; :"
in_time $patience "everything has been shown" gone
holds "everything was shown" grep -qa last-2 "$work/shown"
same "$(cat "$work/asked")" "" "questions to a terminal that only shows"

# A program of the user's own that opens cons for both can answer too.
exec 6<>"$mnt/$n/cons"
echo 'echo $((70+7))' >&6
timeout 5 cat <&6 >"$work/both" || :
exec 6>&-
holds "who can answer is asked" has_text "$work/both" "$question"

echo stop >"$mnt/$n/ctl"
same "$(ended $n)" "stop 0" "end"
for file in "$work/cons" "$mnt/$n/log"; do
    lacks "a question stands in ${file##*/}" has_text "$file" "$question"
done
holds "the reader of cons got what log keeps" cmp "$work/cons" "$mnt/$n/log"
