#!/bin/sh
# SPDX-License-Identifier: MIT
# Kernels that are not Linux: a multiboot kernel of our own as an ELF file and as a flat file, with modules,
# and what its end looks like.
. "$(dirname "$0")/lib.sh"
command -v as >/dev/null && command -v ld >/dev/null || skip "as or ld is not installed"
mount_tree

# Says on COM1 what it was told, then does what its command line ends with: h halts, t is a triple fault.
cat >"$work/kernel.s" <<'END'
        .code32
        .globl start
header: .long 0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
        .long header, header, end, end, start
start:  mov $stack, %esp
        push %eax
        mov $0x3fb, %dx
        mov $3, %al
        out %al, %dx
        pop %eax
        cmp $0x2badb002, %eax
        jne halt
        mov $hello, %esi
        call say
        mov 16(%ebx), %esi
        call say
        mov 20(%ebx), %ecx
        mov 24(%ebx), %edi
1:      test %ecx, %ecx
        jz 2f
        mov $module, %esi
        call say
        mov 8(%edi), %esi
        call say
        mov $is, %esi
        call say
        mov (%edi), %esi
        call say
        add $16, %edi
        dec %ecx
        jmp 1b
2:      mov $done, %esi
        call say
        mov 16(%ebx), %esi
3:      lodsb
        test %al, %al
        jnz 3b
        cmpb $'t', -2(%esi)
        jne halt
        lidt nothing
        int3
halt:   hlt
        jmp halt
say:    lodsb
        test %al, %al
        jz 1f
        mov $0x3f8, %dx
        out %al, %dx
        jmp say
1:      ret
hello:  .asciz "told: "
module: .asciz "; module "
is:     .asciz " is "
done:   .asciz "; done\r\n"
nothing: .word 0
        .long 0
        .balign 16
        .skip 512
stack:
end:
END
as --32 --defsym FLAGS=3 -o "$work/elf.o" "$work/kernel.s"
ld -m elf_i386 -e start -Ttext 0x200000 -o "$work/elf" "$work/elf.o"
as --32 --defsym FLAGS=0x10003 -o "$work/flat.o" "$work/kernel.s"
ld -m elf_i386 -e start -Ttext 0x200000 --oformat binary -o "$work/flat" "$work/flat.o"
printf 'contents of one\0' >"$work/one"
printf 'and of two\0' >"$work/it's two"

for engine in jit interp; do
    for kernel in elf flat; do
        n=$(new_vm mem=24M engine=$engine)
        printf '%s\n' "kernel $work/$kernel" 'cmdline a=1  b h' "initrd $work/one '$work/it''s two'" >"$mnt/$n/conf"
        echo start >"$mnt/$n/ctl"
        await "$mnt/$n/log" "told: a=1 b h; module one is contents of one; module it's two is and of two; done"
        echo stop >"$mnt/$n/ctl"
        same "$(ended $n)" "stop 0" "end"
        # A triple fault resets, and a kernel that does nothing else is a reset loop.
        printf '%s\n' 'cmdline t' initrd >"$mnt/$n/conf"
        : >"$mnt/$n/log"
        echo start >"$mnt/$n/ctl"
        same "$(ended $n)" "resetloop 0" "end of $kernel by triple faults"
        same "$(grep -ac 'told: t; done' "$mnt/$n/log")" 10 "boots until then"
        echo destroy >"$mnt/$n/ctl"
    done
done
holds "the server's log tells of triple faults" grep -q 'what=triple_fault cs=0x0010' "$work/server.log"

# What a file looks like that is none. boot bios takes Linux only.
n=$(new_vm "kernel=$work/elf.o")
refused ENOEXEC "$mnt/$n/ctl" start 'not linked'
echo "kernel $work/one" >"$mnt/$n/conf"
refused ENOEXEC "$mnt/$n/ctl" start 'no known kind'
printf '%s\n' "kernel $work/elf" 'boot bios' >"$mnt/$n/conf"
refused ENOEXEC "$mnt/$n/ctl" start 'boot direct'
truncate -s 40M "$work/one"
printf '%s\n' 'boot direct' 'mem 24M' "initrd $work/one" >"$mnt/$n/conf"
refused ENOMEM "$mnt/$n/ctl" start
