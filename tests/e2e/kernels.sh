#!/bin/sh
# SPDX-License-Identifier: MIT
# Kernels that are no Linux images: a multiboot kernel of our own as an ELF file and as a flat file, with modules,
# directly and through SeaBIOS, and what its end looks like; and Linux as an ELF file.
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

for way in 'jit direct' 'interp direct' 'jit bios' 'interp bios'; do
    for kernel in elf flat; do
        n=$(new_vm mem=24M engine=${way% *} boot=${way#* })
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

# The memory map that a multiboot kernel is told is the BIOS's, with all of memory in it; and the zero page's.
cat >"$work/map.s" <<'END'
        .code32
        .globl start
header: .long 0x1badb002, 3, -(0x1badb002 + 3)
start:  mov $0x80000, %esp
        mov %ebx, %ebp
        mov $0x3fb, %dx
        mov $3, %al
        out %al, %dx
        mov $0x3f8, %dx
        mov 4(%ebp), %eax
        call number
        mov 8(%ebp), %eax
        call number
        mov 48(%ebp), %esi
        mov 44(%ebp), %edi
        add %esi, %edi
1:      mov $'\n', %al
        out %al, %dx
        cmp %edi, %esi
        jae 2f
        mov 4(%esi), %eax
        call number
        mov 12(%esi), %eax
        call number
        mov 20(%esi), %eax
        call number
        add (%esi), %esi
        add $4, %esi
        jmp 1b
2:      mov $'.', %al
        out %al, %dx
3:      hlt
        jmp 3b
number: mov $8, %ecx
1:      rol $4, %eax
        push %eax
        and $15, %al
        cmp $10, %al
        sbb $0x69, %al
        das
        out %al, %dx
        pop %eax
        loop 1b
        mov $' ', %al
        out %al, %dx
        ret
END
as --32 -o "$work/map.o" "$work/map.s"
ld -m elf_i386 -e start -Ttext 0x200000 -o "$work/map" "$work/map.o"
n=$(new_vm mem=64M boot=bios "kernel=$work/map")
echo start >"$mnt/$n/ctl"
within 20 grep -qax '\.' "$mnt/$n/log" || fail "no map: $(cat "$mnt/$n/log")"
holds "memory below and above 1 MiB: $(cat "$mnt/$n/log")" grep -qaE '0000027F 0000FB[0-9A-F]{2} ' "$mnt/$n/log"
holds "memory at 0" grep -qax '00000000 0009FC00 00000001 ' "$mnt/$n/log"
holds "memory at 1 MiB, without the BIOS's tables" grep -qaE '^00100000 03E[EF][0-9A-F]000 00000001 $' "$mnt/$n/log"
holds "the BIOS's tables" grep -qaE '^03FF[0-9A-F]000 000[0-9A-F]{2}000 00000002 $' "$mnt/$n/log"
echo destroy >"$mnt/$n/ctl"

# Linux without its boot sector, with an initrd. Only who has built the kernel has that file.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/ennead
for each in "$cache"/kernel-*/bzImage; do
    cmp -s "$each" "$build/guest/bzImage" && vmlinux=${each%/*}/vmlinux
done
if [ -f "${vmlinux:-}" ]; then
    printf 'no archive' >"$work/initrd"
    for boot in direct bios; do
        n=$(new_vm boot=$boot "kernel=$vmlinux" "initrd=$work/initrd")
        start_vm $n
        same "$(guest $n 'dmesg | grep -c "Initramfs unpacking failed"')" 1 "initrd of vmlinux, boot $boot"
        lacks "$boot: memory is missing" test "$(guest $n 'sed -n "s/MemTotal: *\([0-9]*\) kB/\1/p" /proc/meminfo')" -lt 110000
        echo poweroff >"$mnt/$n/cons"
        same "$(ended $n)" "poweroff 0" "end of vmlinux, boot $boot"
    done
else
    echo "no vmlinux: not tried"
fi

# What does not fit, or lies where a BIOS has its data, is told.
n=$(new_vm mem=24M boot=bios "kernel=$work/elf" "initrd=$work/large")
truncate -s 21M "$work/large"
echo start >"$mnt/$n/ctl"
await "$mnt/$n/log" 'told: '
echo stop >"$mnt/$n/ctl"
same "$(ended $n)" "stop 0" "end"
truncate -s 23064476 "$work/large" # into the BIOS's tables at the end of memory
echo start >"$mnt/$n/ctl"
await "$mnt/$n/log" 'Ennead: not enough memory for the kernel or its initrd'
echo stop >"$mnt/$n/ctl"
same "$(ended $n)" "stop 0" "end"
ld -m elf_i386 -e start -Ttext 0x8000 -o "$work/low" "$work/elf.o"
echo "kernel $work/low" >"$mnt/$n/conf"
refused ENOMEM "$mnt/$n/ctl" start
echo destroy >"$mnt/$n/ctl"

# What a file looks like that is none.
n=$(new_vm "kernel=$work/elf.o")
refused ENOEXEC "$mnt/$n/ctl" start 'not linked'
echo "kernel $work/one" >"$mnt/$n/conf"
refused ENOEXEC "$mnt/$n/ctl" start 'no known kind'
echo 'boot bios' >"$mnt/$n/conf"
refused ENOEXEC "$mnt/$n/ctl" start 'no known kind'
truncate -s 40M "$work/one"
printf '%s\n' "kernel $work/elf" 'boot direct' 'mem 24M' "initrd $work/one" >"$mnt/$n/conf"
refused ENOMEM "$mnt/$n/ctl" start
