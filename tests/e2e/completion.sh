#!/bin/sh
# SPDX-License-Identifier: MIT
# bash and zsh complete subcommands, machines and settings, the latter from the tree itself.
. "$(dirname "$0")/lib.sh"
complete=$here/../../rc/complete
mount_tree
mkdir "$mnt/web"
n=$(new_vm)

# in_bash WORD…: what bash offers for the last of these words, one a line.
in_bash() {
    ENNEAD_DIR="$mnt" bash --norc -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ennead_complete 2>/dev/null
        printf "%s\n" "${COMPREPLY[@]}"' "$complete/ennead.bash" "$@" | sort
}
# The same of zsh, whose own functions are not asked: what the script hands to compadd and begins with the word.
in_zsh() {
    ENNEAD_DIR="$mnt" zsh -f -c 'compadd() { while [[ $1 != -- ]]; do [[ $1 == -S ]] && local suffix=$2; shift; done; shift
            local each; for each; do [[ $each$suffix == ${words[-1]}* ]] && print -r -- $each$suffix; done; }
        compset() { words[-1]=${words[-1]#*=}; }
        _files() { print -r -- "(files)"; }
        script=$1; shift
        words=("$@"); CURRENT=$#
        . $script' - "$complete/_ennead" "$@" | sort
}
lists() { printf '%s\n' "$@"; }

shells=in_bash
if command -v zsh >/dev/null; then shells="in_bash in_zsh"; fi
cd "$work"
keys=$(sed 's/ .*/=/' "$mnt/conf")
for shell in $shells; do
    same "$($shell "$build/ennead" att | grep -v files)" attach "$shell: subcommand"
    same "$($shell "$build/ennead" p | grep -v files)" ps "$shell: subcommand"
    same "$($shell "$build/ennead" attach '' | grep -v '^-')" "$(lists 1 $n web | sort -u)" "$shell: machines"
    same "$($shell "$build/ennead" exec -n w)" web "$shell: a machine by name"
    same "$($shell "$build/ennead" exec web '')" "" "$shell: the guest's command"
    same "$($shell "$build/ennead" exec -d "$work/nothing" w)" "" "$shell: machines of a tree that is not there"
    same "$($shell "$build/ennead" run '' | grep -v '^-')" "$(lists $keys | sort)" "$shell: settings"
    same "$($shell "$build/ennead" run mem=64M disk)" "$(lists disk0= disk1= disk2= disk3= disklimit=)" "$shell: settings after one"
    same "$($shell "$build/ennead" run -- m)" "" "$shell: the guest's command"
    same "$($shell "$build/ennead" ps --)" "--json" "$shell: an option"
done
same "$(in_bash "$build/ennead" run kernel=v)" "kernel=vm" "bash: a path"
if command -v zsh >/dev/null; then
    same "$(in_zsh "$build/ennead" run kernel=v)" "(files)" "zsh: a path"
    # As compinit loads it.
    same "$(zsh -f -c 'fpath=('"$complete"' $fpath); autoload -Uz compinit; compinit -D -u; print $_comps[ennead]')" \
        _ennead "zsh: the function of ennead"
fi
bash -n "$complete/ennead.bash"
