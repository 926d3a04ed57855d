# SPDX-License-Identifier: MIT
# bash completion of ennead(1): subcommands, options, and what the tree itself knows: machines and settings.
# shellcheck shell=bash

_ennead_complete() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local dir=${ENNEAD_DIR:-/vm} command=${COMP_WORDS[1]:-} words='' i machine=''
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        # The program's usage has a line for each.
        words="serve --help --version -f --log
            $("${COMP_WORDS[0]}" --help 2>/dev/null | sed -n 's/^ *ennead \([a-z0-9][a-z0-9]*\) .*/\1/p')"
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word"; compgen -d -- "$word")
        return
    fi
    for ((i = 2; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        -d) dir=${COMP_WORDS[++i]:-} ;;
        -t) ((i++)) ;;
        --) [[ $command != run ]] || return 0 ;; # the command is the guest's
        -*) ;;
        =) ;;
        *) machine=${COMP_WORDS[i]} ;;
        esac
    done
    case $previous in
    -d) mapfile -t COMPREPLY < <(compgen -d -- "$word") && return ;;
    -t) return ;;
    --log) mapfile -t COMPREPLY < <(compgen -f -- "$word") && return ;;
    esac
    case $command in
    attach | exec)
        [[ -z $machine ]] || return 0
        words=$(awk '{ print $1; if ($2 != $1) print $2 }' "$dir/status" 2>/dev/null)
        [[ $word != -* ]] || words='-d'
        [[ $word != -* || $command != exec ]] || words='-d -n -t'
        ;;
    run)
        if [[ $word == -* ]]; then
            words='-d -n -t --'
        elif [[ $previous == = || $word == = ]]; then
            mapfile -t COMPREPLY < <(compgen -f -- "${word#=}") && return
        elif [[ $word == *=* ]]; then
            mapfile -t COMPREPLY < <(compgen -f -P "${word%%=*}=" -- "${word#*=}") && return
        else
            words="$(sed 's/ .*/=/' "$dir/conf" 2>/dev/null) --"
            compopt -o nospace 2>/dev/null
        fi
        ;;
    ps) words='-d --json' ;;
    serve | -f) words='-f --log' ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    case $command in
    serve | -f) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$word") ;;
    esac
}
complete -F _ennead_complete ennead
