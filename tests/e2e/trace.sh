#!/bin/sh
# SPDX-License-Identifier: MIT
# `trace` tells what a real guest does, to who reads, and holds nobody up.
. "$(dirname "$0")/lib.sh"
mount_tree

count() { sed -n 's/^instructions //p' "$mnt/$n/stats"; }
irqs() { sed -n 's/^irqs //p' "$mnt/$n/stats"; }
more_than() { [ "$($1)" -gt "$2" ]; }
now() { grep -q "^$1" "$mnt/$n/status"; }
has_line() { grep -qE "$1" "$work/lines"; }

# traced LINE PATTERN GUEST: with that line of trace, a command of the guest's makes a line like it.
alias traced='traced_ $LINENO'
traced_() {
    background cat "$mnt/$n/trace" >"$work/lines"
    reader=$job
    in_time_ "$1" $patience "the reader has opened" readlink "/proc/$reader/fd/3" >"$work/link"
    echo "$2" >"$mnt/$n/ctl"
    guest_ "$1" $n "$4" >"$work/out"
    in_time_ "$1" $patience "$engine: $2 tells '$3', not '$(tail -n 3 "$work/lines")'" has_line "$3"
    echo notrace >"$mnt/$n/ctl"
    wait $reader || fail_ "$1" "notrace does not end the file"
}

for engine in jit interp; do
    n=$(new_vm engine=$engine)
    refused EBUSY "$mnt/$n/ctl" 'trace irq'
    refused EBUSY "$mnt/$n/ctl" notrace
    start_vm $n
    for bad in trace 'trace all' 'trace insn 2-1' 'trace 0x10' 'trace 9p 1-2' 'trace irq cr3=1 cr3=2' 'notrace irq'; do
        refused EINVAL "$mnt/$n/ctl" "$bad"
    done

    # Instruction by instruction, while computing.
    echo 'while :; do :; done' >"$mnt/$n/cons"
    await "$mnt/$n/log" 'while :; do :; done'
    echo pause >"$mnt/$n/ctl"
    in_time $patience "paused" now paused
    before=$(count)
    exec 4<"$mnt/$n/trace"
    printf 'trace insn\nstep 500\n' >"$mnt/$n/ctl"
    in_time $patience "$engine: walked" now paused
    done=$(($(count) - before))
    echo notrace >"$mnt/$n/ctl"
    timeout 5 cat <&4 >"$work/lines" || fail "notrace does not end the file"
    exec 4<&-
    holds "$engine: the walk is of instructions" test $done -gt 400
    # One that faults has a line and is begun again; all else follows on each other.
    same "$(awk '$3 == "insn" { print $2 }' "$work/lines" | sort -un | wc -l)" $done "$engine: instructions traced"
    same "$(awk 'NR == 1 { print $2 }' "$work/lines")" "$before" "$engine: the first one"
    lacks "$engine: lines of another form" \
        grep -vqE "^[0-9]+ [0-9]+ insn 0x[0-9a-f]{8} ([0-9a-f]{2})+ '[^']+'( e[a-z]+=0x[0-9a-f]+)*( ->( e[a-z]+=0x[0-9a-f]+)+)?\$" "$work/lines"

    # A reader that does not read stops nobody. Only user code, so that the guest still comes to it.
    exec 4<"$mnt/$n/trace"
    printf 'trace insn 0-0xbfffffff\nresume\n' >"$mnt/$n/ctl"
    in_time $patience "$engine: it runs" more_than count $((before + 300000))
    printf '\003' >"$mnt/$n/cons"
    same "$(guest $n 'echo $((3*111))')" 333 "$engine: a guest whose trace nobody reads"
    echo notrace >"$mnt/$n/ctl"
    timeout 20 cat <&4 >"$work/lines" || fail "notrace does not end the file"
    exec 4<&-
    holds "$engine: it was told that lines are lost" has_line '^lost [0-9]+$'
    holds "$engine: lines go on" test "$(grep -c ' insn ' "$work/lines")" -gt 10000
    lacks "$engine: torn lines" grep -vqE '^([0-9]+ [0-9]+ insn 0x.*|lost [0-9]+)$' "$work/lines"
    lacks "$engine: the kernel's code" grep -qE ' insn 0x[c-f]' "$work/lines"

    traced 'trace io 0x3f8' ' io 0x[0-9a-f]{8} out 0x03f8 1 0x71$' 'echo q >/dev/ttyS0'
    lacks "$engine: other ports" grep -vq ' 0x03f8 ' "$work/lines"
    traced 'trace 9p' ' 9p Twalk tag=[0-9]+ fid=[0-9]+ newfid=[0-9]+ names=no-such-name$' \
        '! ls /no-such-name 2>/dev/null'
    holds "$engine: the answer" has_line ' 9p Rlerror tag=[0-9]+ ecode=2$'
    traced 'trace irq' ' irq 0x[0-9a-f]{8} [0-9]+$' 'sleep 0.1'
    traced 'trace exc 0-0xbfffffff' ' exc 0x[0-9a-b][0-9a-f]{7} 14 error=0x[0-9a-f]+ cr2=0x[0-9a-f]{8}$' 'ls / >/dev/null'
    traced 'trace mmio 0xfee00000-0xfee00fff' ' mmio 0x[c-f][0-9a-f]{7} write 0xfee000b0 4 0x0$' 'sleep 0.1'

    # The last reader takes the trace with it.
    exec 4<"$mnt/$n/trace"
    printf 'trace irq\ntrace exc\n' >"$mnt/$n/ctl"
    timeout 5 sed 3q <&4 >"$work/lines" || fail "nothing is traced"
    exec 4<&-
    exec 4<"$mnt/$n/trace"
    had=$(irqs)
    in_time $patience "$engine: interrupts" more_than irqs $((had + 5))
    same "$(python3 -I -S -c 'import select; p = select.poll(); p.register(4, select.POLLIN); print(p.poll(200))' 4<&4)" \
        '[]' "$engine: lines for a new reader"
    # The end of the machine is that of the file.
    echo 'trace io' >"$mnt/$n/ctl"
    echo stop >"$mnt/$n/ctl"
    same "$(ended $n)" "stop 0" "$engine: the end"
    timeout 5 cat <&4 >"$work/lines" || fail "the file does not end with the machine"
    exec 4<&-
    refused EBUSY "$mnt/$n/ctl" 'trace irq'
done
