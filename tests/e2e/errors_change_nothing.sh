#!/bin/sh
# SPDX-License-Identifier: MIT
# Every mistake gets its errno and a line in `error`, and changes nothing.
. "$(dirname "$0")/lib.sh"
mount_tree

snapshot() {
    cat "$mnt/conf" "$mnt/$n/conf" "$mnt/$n/name" "$mnt/$n/ns"
    cut -d ' ' -f 1-3 "$mnt/$n/status"
    ls "$mnt" "$mnt/$n"
}
# nothing_changed WHAT
alias nothing_changed='nothing_changed_ $LINENO'
nothing_changed_() {
    snapshot >"$work/after"
    diff "$work/before" "$work/after" || fail_ "$1" "$2 changed something"
}
# too_long FILE TEXT: TEXT and so many blanks that the message is one byte over 64 KiB.
alias too_long='too_long_ $LINENO'
too_long_() {
    : >"$(dirname "$2")/error"
    got=$(printf '%-65537s' "$3" | call write "$2" -)
    [ "$got" = E2BIG ] || fail_ "$1" "a long write to $2: got '$got'"
    explained_ "$1" E2BIG "$2"
}
long() { head -c "$1" /dev/zero | tr '\0' a; }

n=$(new_vm mem=64M append=quiet)
snapshot >"$work/before"

# Verbs.
for top in '' "/$n"; do
    for line in nonsense Quit "'" "start 'now" 'quit now' -- "''" '=' 'start=1' "$(printf 'st\001art')"; do
        refused EINVAL "$mnt$top/ctl" "$line"
    done
    too_long "$mnt$top/ctl" '#'
    nothing_changed "a bad verb in $top/ctl"
done
for verb in start pause resume reset stop powerdown nmi kill destroy; do
    refused EINVAL "$mnt/$n/ctl" "$verb now" usage
done
for verb in pause resume reset stop powerdown nmi kill; do
    refused EBUSY "$mnt/$n/ctl" $verb
done
refused EINVAL "$mnt/$n/ctl" set usage
refused EINVAL "$mnt/$n/ctl" "$(printf 'destroy\nnonsense')" nonsense
refused EINVAL "$mnt/ctl" "$(printf 'quit\nnonsense')" nonsense
nothing_changed "a refused verb"

# The caret stands under the word at fault.
refused EINVAL "$mnt/$n/ctl" 'set mem 12Q'
same "$(tail -n 2 "$mnt/$n/error")" "    set mem 12Q
            ^" "command and caret"
# The same descriptor tells what happened.
same "$( (echo nonsense >&3 || :; cat <&3) 3<>"$mnt/$n/ctl" 2>/dev/null | sed 's/; known are: start pause .*//')" \
    "unknown verb nonsense" "ctl read after the refusal"
same "$( (echo '# a comment' >&3; cat <&3) 3<>"$mnt/$n/ctl")" ok "ctl read after a comment"

# Settings, through every way in.
while IFS='|' read -r errno key value words; do
    refused "$errno" "$mnt/$n/conf" "$key $value" "$words"
    refused "$errno" "$mnt/$n/conf" "$(printf 'mem 32M\nappend loud\n%s %s' "$key" "$value")"
    refused "$errno" "$mnt/conf" "$key $value" "$words"
    refused "$errno" "$mnt/$n/ctl" "set $key $value" "$words"
    refused "$errno" "$mnt/new" "$key='$value'"
    nothing_changed "$key $value"
done <<'END'
EINVAL|nonsense|1|nonsense
EINVAL|Mem|64M|Mem
EINVAL|mem|x|not a size
EINVAL|mem|-1|not a size
EINVAL|mem|64m|not a size
EINVAL|mem|64MM|not a size
EINVAL|mem|0x|not a size
EINVAL|mem|99999999999999999999|not a size
EINVAL|mem|18446744073709551615G|not a size
EINVAL|mem|1M|to 3G
EINVAL|mem|64G|3G
EINVAL|mem|67108865|multiple
EINVAL|cpus|0|one CPU
EINVAL|cpus|many|not a number
EOPNOTSUPP|cpus|2|one CPU
EINVAL|engine|steam|engine
EINVAL|boot|shoe|boot
EINVAL|kernel|bzImage|relative
EINVAL|kernel|./bzImage|relative
EINVAL|initrd|initrd.gz|relative
EINVAL|root|../root|relative
END
refused EINVAL "$mnt/$n/conf" 'mem 64M 65M'
refused EINVAL "$mnt/$n/conf" "append 'never closed"
refused EINVAL "$mnt/$n/conf" "append $(long 2048)"
refused ENAMETOOLONG "$mnt/$n/conf" "kernel /$(long 4096)"
refused EINVAL "$mnt/new" mem
refused EINVAL "$mnt/new" =64M
refused EINVAL "$mnt/new" "mem='64M"
for file in conf "$n/conf" "$n/name" new; do
    too_long "$mnt/$file" '#'
done
nothing_changed "a bad setting"
same "$(wc -l <"$mnt/status")" 1 "machines, after all those writes to new"

# Names.
refused EINVAL "$mnt/$n/name" "''"
refused EINVAL "$mnt/$n/name" 'two words'
refused EINVAL "$mnt/$n/name" 77
refused EINVAL "$mnt/$n/name" a/b
refused EINVAL "$mnt/$n/name" ..
refused EINVAL "$mnt/$n/name" "$(long 65)"
refused EEXIST "$mnt/$n/name" status
nothing_changed "a bad name"

# Files that are not written, and what is no synthetic file.
for file in status help version events "$n/status" "$n/wait" "$n/events"; do
    answers EPERM write "$mnt/$file" x
done
answers EPERM unlink "$mnt/$n/conf"
answers EPERM unlink "$mnt/status"
answers EPERM rename "$mnt/$n/conf" "$mnt/$n/conf2"
answers EPERM mkdir "$mnt/$n/directory"
answers ENOENT open "$mnt/nonsense"
answers ENOENT open "$mnt/99/conf"
answers ENOENT open "$mnt/0$n/conf"
nothing_changed "a file operation that was refused"

# Kernels and roots that cannot be started.
cp /bin/ls "$work/program"
printf '#!/bin/sh\n' >"$work/script"
: >"$work/empty"
echo hello | gzip >"$work/kernel.gz"
head -c 100000 "$build/guest/bzImage" | tail -c 99000 >"$work/middle"
mkfifo "$work/fifo"
while IFS='|' read -r errno key value words; do
    m=$(new_vm "$key=$value")
    refused "$errno" "$mnt/$m/ctl" start "$words"
    same "$(cut -d ' ' -f 1-4 "$mnt/$m/status")" "new - - 0.000" "status after '$key $value'"
    same "$(vm_process "$m" || :)" "" "process after '$key $value'"
    echo destroy >"$mnt/$m/ctl"
done <<END
ENOENT|kernel|$work/missing|$work/missing
ENOEXEC|kernel|$work/program|64-bit ELF
ENOEXEC|kernel|$work/script|script
ENOEXEC|kernel|$work/empty|empty
ENOEXEC|kernel|$work/kernel.gz|gzip
ENOEXEC|kernel|$work/middle|no known kind
EISDIR|kernel|$work|no regular file
ELOOP|kernel|$mnt/$n/log|tree
ELOOP|initrd|$mnt/$n/log|tree
ELOOP|disk0|$mnt/$n/log|tree
ELOOP|root|$mnt/$n|tree
EINVAL|kernel|$work/fifo|no regular file
EINVAL|kernel|/dev/zero|no regular file
ENOENT|initrd|$work/missing|$work/missing
EINVAL|initrd|/dev/null|no regular file
ENOENT|root|$work/missing|$work/missing
ENOTDIR|root|$work/script|$work/script
END
# The same machine starts once that is put right.
echo "kernel $work/script" >"$mnt/$n/conf"
refused ENOEXEC "$mnt/$n/ctl" start script
echo 'kernel' >"$mnt/$n/conf"
nothing_changed "a kernel set and taken back"
start_vm $n

# While it runs.
snapshot >"$work/before"
refused EBUSY "$mnt/$n/ctl" start
refused EBUSY "$mnt/$n/ctl" resume
refused EBUSY "$mnt/$n/conf" 'mem 128M'
refused EBUSY "$mnt/$n/ctl" 'set mem 128M'
refused EBUSY "$mnt/$n/regs" 'eax 1'
refused EBUSY "$mnt/$n/mem" x
refused EINVAL "$mnt/$n/regs" 'eax one'
refused EINVAL "$mnt/$n/regs" "'eax"
for line in 'size' 'size 24' 'size 24 x' 'size 0 80' 'size 24 80 1' 'size 24 65536' 'nonsense' "'size"; do
    refused EINVAL "$mnt/$n/consctl" "$line"
done
too_long "$mnt/$n/regs" '#'
too_long "$mnt/$n/consctl" '#'
answers EBUSY rmdir "$mnt/$n"
nothing_changed "a mistake while running"
same "$(guest $n 'echo $((99*99))')" 9801 "the machine after all that"

# `error` keeps the last eight, and can be cleared.
: >"$mnt/$n/error"
same "$(cat "$mnt/$n/error")" "" "error after clearing"
for i in 1 2 3 4 5 6 7 8 9 10; do
    call write "$mnt/$n/ctl" "wrong$i" >/dev/null
done
same "$(grep -c '^[0-9]' "$mnt/$n/error")" 8 "lines that error keeps"
lacks "error keeps more than the last" grep -q 'wrong2$' "$mnt/$n/error"
holds "error keeps the last" grep -q 'wrong10$' "$mnt/$n/error"
