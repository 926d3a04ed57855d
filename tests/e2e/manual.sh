#!/bin/sh
# SPDX-License-Identifier: MIT
# vm(4) and `help` name every file, verb and setting that the tree has, and vm(4) none that it has not.
. "$(dirname "$0")/lib.sh"
manual=$here/../../docs/vm.4
mount_tree

n=$(new_vm)
start_vm $n # root/ is there while there is a process
cat "$mnt/help" >"$work/help"

# entries SECTION KIND: what the tags of a section's list name, one a line; KIND is Pa or Cm.
entries() {
    awk -v section="$1" -v kind="$2" '
        /^\.S[sh] / { heading = $0; sub(/^\.S[sh] /, "", heading); inside = heading == section }
        inside && $1 == ".It" && $2 == kind {
            for (i = 3; i <= NF && $i !~ /^(Ar|Op|Oo|Ns)$/; i++) {
                if ($i != ",") print $i
            }
        }' "$manual" | sed 's|/$||' | sort
}

# agree WHAT FILE FILE: two lists, of the manual and of the tree.
alias agree='agree_ $LINENO'
agree_() {
    [ -s "$3" ] || fail_ "$1" "no $2 found in the manual"
    [ -s "$4" ] || fail_ "$1" "no $2 found in the tree"
    diff "$3" "$4" >"$work/diff" ||
        fail_ "$1" "$2 (<: only in vm(4), >: only in the tree): $(grep '^[<>]' "$work/diff" | tr '\n' ' ')"
}
# in_help WHAT FILE: each is a word of the page that teaches the tree.
alias in_help='in_help_ $LINENO'
in_help_() {
    while read -r word; do
        grep -qE "(^|[^A-Za-z0-9])$word([^A-Za-z0-9]|$)" "$work/help" || fail_ "$1" "$2 $word is not in help"
    done <"$3"
}

# Files: those at the top less the machine's directory; those of a machine, one level down as well.
entries 'The top level' Pa >"$work/manual.top"
ls "$mnt" | grep -vx "$n" | sort >"$work/tree.top"
agree "files at the top" "$work/manual.top" "$work/tree.top"
in_help "file at the top" "$work/tree.top"
entries 'The files of a machine' Pa | sed 's|^jit/block$|jit/block|' >"$work/manual.vm"
(cd "$mnt/$n" && ls -d -- * jit/*) | grep -vx jit | sort >"$work/tree.vm"
agree "files of a machine" "$work/manual.vm" "$work/tree.vm"
sed 's|.*/||' "$work/tree.vm" >"$work/names"
in_help "file of a machine" "$work/names"

# Verbs: a ctl file tells those it knows when it is given one that it does not.
# told FILE LINE: what a ctl file answers.
told() {
    # shellcheck disable=SC2094 # one descriptor
    { echo "$2" >&3 || cat <&3; } 3<>"$1" 2>/dev/null
}
verbs() { told "$1" no-such-verb | sed 's/.*known are: //' | tr ' ' '\n' | sort; }
entries "Verbs of the top's ctl" Cm >"$work/manual.topctl"
verbs "$mnt/ctl" >"$work/tree.topctl"
agree "verbs of the top's ctl" "$work/manual.topctl" "$work/tree.topctl"
in_help "verb of the top's ctl" "$work/tree.topctl"
entries 'Verbs of N/ctl' Cm >"$work/manual.ctl"
verbs "$mnt/$n/ctl" >"$work/tree.ctl"
agree "verbs of N/ctl" "$work/manual.ctl" "$work/tree.ctl"
in_help "verb of N/ctl" "$work/tree.ctl"

# How a verb is used, as the manual writes it and as the file says when it has too many words or too few.
usage_in_manual() {
    awk -v verb="$1" '
        /^\.S[sh] / { inside = $0 == ".Ss Verbs of N/ctl" }
        inside && $1 == ".It" && $3 == verb { $1 = $2 = ""; print }' "$manual" |
        sed 's/ Oo Fl \([a-z]*\) Oc/ [-\1]/; s/ Oo Ar \([a-z]*\) Oc/ [\1]/; s/ Op Ar \([a-z]*\)/ [\1]/g
             s/ Ar / /g; s/^ *//'
}
while read -r verb; do
    case $verb in
    set) continue ;; # the value is a part of `conf`, whose empty values are lines too
    bind | unbind | trace) words= ;;
    *) words=' a b c d e f g h' ;;
    esac
    same "$(told "$mnt/$n/ctl" "$verb$words")" "usage: $(usage_in_manual "$verb")" "use of $verb"
done <"$work/tree.ctl"

# Settings.
entries SETTINGS Cm >"$work/manual.conf"
cut -d ' ' -f 1 "$mnt/conf" | sort >"$work/tree.conf"
agree settings "$work/manual.conf" "$work/tree.conf"
sed '/^disk[12]$/d' "$work/tree.conf" >"$work/settings" # help has disk0 to disk3
in_help setting "$work/settings"

# Nothing is both there and among what is not yet.
awk '/^\.Ss Not yet/ { inside = 1 } inside && /^\.(Pa|Cm)/ { for (i = 2; i <= NF; i++) if ($i != "," && $i != ".") print $i }' \
    "$manual" | sort >"$work/absent"
sort -u "$work/tree.top" "$work/tree.vm" "$work/tree.ctl" "$work/tree.conf" | grep -vxE 'stats|ctl' >"$work/present"
same "$(comm -12 "$work/absent" "$work/present")" "" "said to be absent, and there"
echo stop >"$mnt/$n/ctl"
