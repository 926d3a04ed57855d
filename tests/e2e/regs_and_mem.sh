#!/bin/sh
# SPDX-License-Identifier: MIT
# Registers and memory are read at any time and written while the machine is paused.
. "$(dirname "$0")/lib.sh"
mount_tree

reg() { sed -n "s/^$1 //p" "$mnt/$n/regs"; }
# bytes ADDRESS COUNT: of physical memory, as hexadecimal.
bytes() {
    dd if="$mnt/$n/mem" bs=1 skip=$(($1)) count="$2" iflag=fullblock 2>/dev/null |
        od -An -v -tx1 | tr -d ' \n'
}
poke() { printf '%s' "$2" | dd of="$mnt/$n/mem" bs=64 seek=$(($1)) oflag=seek_bytes conv=notrunc status=none; }

n=$(new_vm)
same "$(call read "$mnt/$n/regs")" EBUSY "regs of a machine that was not started"
explained EBUSY "$mnt/$n/regs"
start_vm $n

# What is no stream has an answer at once, whoever asks how.
for file in regs fpregs mem map io bp stats consctl jit/stats; do
    answers ok nonblock "$mnt/$n/$file"
done

# Under load, so that no two moments are alike.
echo 'while :; do :; done' >"$mnt/$n/cons"
await "$mnt/$n/log" 'while :; do :; done'
refused EBUSY "$mnt/$n/regs" 'eax 1' running
refused EBUSY "$mnt/$n/mem" x running
echo pause >"$mnt/$n/ctl"
in_time $patience "status says paused" sh -c "grep -q ^paused '$mnt/$n/status'"
cat "$mnt/$n/regs" >"$work/regs.1"
cat "$mnt/$n/regs" >"$work/regs.2"
holds "regs are stable while paused" cmp "$work/regs.1" "$work/regs.2"
for name in eax ebx ecx edx esi edi ebp esp eip eflags cs cs.base cs.limit cs.attr ss ds es fs gs \
    cr0 cr2 cr3 cr4 gdtr.base gdtr.limit idtr.base idtr.limit ldtr tr dr0 dr7 tsc; do
    holds "regs has $name" grep -qxE "$name 0x[0-9a-f]+" "$work/regs.1"
done
holds "regs has cpl" grep -qx 'cpl [03]' "$work/regs.1"
holds "regs has mode" grep -qx 'mode protected32' "$work/regs.1"
holds "paging is on" test $(($(reg cr0) >> 31)) = 1
uptime=$(cut -d ' ' -f 5 "$mnt/$n/status") # instructions: none are run now
same "$(cut -d ' ' -f 5 "$mnt/$n/status")" "$uptime" "instructions while paused"
refused EBUSY "$mnt/$n/ctl" pause

echo resume >"$mnt/$n/ctl"
in_time $patience "status says running" sh -c "grep -q ^running '$mnt/$n/status'"
moved_on() { [ "$(cut -d ' ' -f 5 "$mnt/$n/status")" != "$uptime" ]; }
in_time $patience "instructions are run after resume" moved_on
refused EBUSY "$mnt/$n/ctl" resume 'the machine is running'
echo pause >"$mnt/$n/ctl"
lacks "regs stayed the same while the machine ran" cmp -s "$work/regs.1" "$mnt/$n/regs"

# Writing: reads back, all or nothing, and what was read can be written.
cat "$mnt/$n/regs" >"$work/regs.before"
echo 'eax 0x12345678' >"$mnt/$n/regs"
same "$(reg eax)" 0x12345678 "eax written"
printf 'ebx 1\nedi 0xfedcba98\n' >"$mnt/$n/regs"
same "$(reg ebx) $(reg edi)" "0x00000001 0xfedcba98" "two registers written at once"
cat "$mnt/$n/regs" >"$work/regs.1"
for bad in 'ecx 5\nnonesuch 1' 'ecx 5\neax 0x100000000' 'ecx 5\neax -1' 'ecx 5\neax' 'ecx 5\neax 1 2' \
    'ecx 5\neax one' 'ecx 5\ncr0 0x80000000' "ecx 5\\neax '1"; do
    refused EINVAL "$mnt/$n/regs" "$(printf "$bad")"
    holds "'$bad' applied nothing" cmp "$work/regs.1" "$mnt/$n/regs"
done
cat "$work/regs.before" >"$mnt/$n/regs"
holds "registers written back are as they were" cmp "$work/regs.before" "$mnt/$n/regs"

# The kernel's version text is in memory behind the place that the guest says it is at.
same "$(stat -c %s "$mnt/$n/mem")" $((128 << 20)) "size of mem"
cat "$mnt/$n/mem" >"$work/mem"
same "$(stat -c %s "$work/mem")" $((128 << 20)) "bytes read from mem"
echo resume >"$mnt/$n/ctl"
printf '\003' >"$mnt/$n/cons"
kernel=$(guest $n "sed -n '/Kernel code/s/^ *\\([0-9a-f]*\\)-.*/\\1/p' /proc/iomem")
banner=$(guest $n 'cat /proc/version')
at=$(grep -aboF "$banner" "$work/mem" | cut -d : -f 1 | sort -n | tail -n 1)
holds "'$banner' is in memory, behind the kernel's start at 0x$kernel: ${at:-nowhere}" \
    test "${at:-0}" -gt $((0x$kernel))

echo pause >"$mnt/$n/ctl"

# Writes read back; the guest does not miss what is put back before it goes on.
where=$((0x3ffffc0))
old=$(bytes $where 64)
poke $where 'written by a test'
same "$(bytes $where 17)" "$(printf 'written by a test' | od -An -v -tx1 | tr -d ' \n')" "memory written"
python3 - "$mnt/$n/mem" $where "$old" <<'PY'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(fd, bytes.fromhex(sys.argv[3]), int(sys.argv[2]))
end = os.fstat(fd).st_size
assert os.pread(fd, 10, end - 4).__len__() == 4, "a read over the end is cut"
assert os.pread(fd, 10, end) == b"", "a read behind the end gives nothing"
PY
same "$(bytes $where 64)" "$old" "memory put back"

# Counters begin again; the machine's own number of instructions does not.
uptime=$(cut -d ' ' -f 5 "$mnt/$n/status")
echo 0 >"$mnt/$n/stats"
same "$(head -n 1 "$mnt/$n/stats")" "instructions 0" "stats after a write"
same "$(cut -d ' ' -f 5 "$mnt/$n/status")" "$uptime" "instructions in status after it"

# The kernel maps physical 0 at 0xc0000000: its version again, by linear address.
vbytes() {
    dd if="$mnt/$n/vmem" bs=1 skip=$(($1)) count="$2" iflag=fullblock 2>/dev/null |
        od -An -v -tx1 | tr -d ' \n'
}
same "$(vbytes $((0xc0000000 + at)) 40)" "$(bytes "$at" 40)" "the kernel's version through its page tables"
same "$(call read "$mnt/$n/vmem")" EFAULT "vmem at 0, where the kernel has nothing"
explained EFAULT "$mnt/$n/vmem"
cat "$mnt/$n/fpregs" >"$work/fpregs"
cat "$work/fpregs" >"$mnt/$n/fpregs"
holds "fpregs written back are as they were" cmp "$work/fpregs" "$mnt/$n/fpregs"
echo 'xmm5 0x1ffffffffffffffffffff' >"$mnt/$n/fpregs"
holds "xmm5 written" grep -qx 'xmm5 0x000000000001ffffffffffffffffffff' "$mnt/$n/fpregs"
refused EINVAL "$mnt/$n/fpregs" "$(printf 'xmm5 1\nst9 1')"
cat "$work/fpregs" >"$mnt/$n/fpregs"
holds "map has the memory above 1 MB" grep -qx '0x00100000 0x07ffffff ram ram' "$mnt/$n/map"
holds "map has a PCI function's registers" grep -qE '^0xfe[0-9a-f]{6} 0xfe[0-9a-f]{6} device ' "$mnt/$n/map"
holds "io has COM1" grep -qx '0x03f8 0x03ff com1' "$mnt/$n/io"
echo resume >"$mnt/$n/ctl"
same "$(guest $n 'echo $((3*111))')" 333 "the guest goes on"

# Caught before it has done much, a machine has its kernel where the boot protocol puts it: 1 MB.
m=$(new_vm)
printf 'start\npause\n' >"$mnt/$m/ctl"
same "$(state $m)" paused "state after start and pause in one write"
sectors=$(od -An -tu1 -j $((0x1f1)) -N 1 "$build/guest/bzImage")
tail -c "+$(((sectors + 1) * 512 + 1))" "$build/guest/bzImage" >"$work/kernel"
same "$(cmp -n $((256 << 10)) "$work/kernel" "$mnt/$m/mem" 0 $((1 << 20)) 2>&1)" "" \
    "the kernel's bytes in memory"
