#!/bin/sh
# SPDX-License-Identifier: MIT
# Linux images of every age, made up here: their setup code, which the option ROM enters in real mode, and
# their 32-bit code, which is entered directly, say on COM1 what they find.
. "$(dirname "$0")/lib.sh"
command -v as >/dev/null && command -v ld >/dev/null || skip "as or ld is not installed"
mount_tree

# VERSION and HIGH (1: a bzImage) are given to the assembler.
cat >"$work/image.s" <<'END'
        .code16
        .globl start
start:  .org 0x1f1
        .byte 4                         # setup_sects
        .org 0x1fe
        .word 0xaa55
        jmp setup
        .ascii "HdrS"
        .word VERSION
        .org 0x211
        .byte HIGH
        .org 0x214
        .long 0x1000 + HIGH * 0xff000
        .org 0x22c
        .if VERSION >= 0x203
        .long 0x37ffffff
        .endif
        .org 0x230
        .if VERSION >= 0x206
        .org 0x238
        .long 255
        .endif
        .if VERSION >= 0x20a
        .org 0x258
        .quad 0x100000
        .long 0x10000
        .endif
        .org 0x268
setup:  mov $0x3fb, %dx
        mov $3, %al
        out %al, %dx
        mov $started - start, %si
        call say
        mov $0x22, %bx                  # a command line at an old-fashioned offset
        cmpw $0xa33f, 0x20
        jne 1f
        mov (%bx), %si
        call say
        jmp 2f
1:      mov 0x228, %eax
        ror $4, %eax
        mov %ax, %es
        shr $28, %eax
        mov %ax, %si
        push %ds
        push %es
        pop %ds
        call say
        pop %ds
2:      mov $of - start, %si
        call say
        mov 0x21c, %al                  # ramdisk_size, less than 10
        add $'0', %al
        call put
        mov $with - start, %si
        call say
        # INT 15h 87h brings what is anywhere: the code's first bytes, then the initrd.
        mov $HIGH * 0xf0000 + 0x10000, %eax
        call show
        mov $initrd - start, %si
        call say
        mov 0x218, %eax
        call show
        mov $done - start, %si
        call say
1:      hlt
        jmp 1b
show:   mov %eax, source - start
        movb $0x93, source - start + 3
        shr $24, %eax
        mov %al, source - start + 5
        xor %eax, %eax
        mov %ds, %ax
        shl $4, %eax
        add $copied - start, %eax
        mov %eax, target - start
        movb $0x93, target - start + 3
        mov $4, %cx
        push %ds
        pop %es
        mov $table - start, %si
        mov $0x87, %ah
        int $0x15
        mov $copied - start, %si
say:    lodsb
        test %al, %al
        jz 1f
        call put
        jmp say
put:    mov $0x3f8, %dx
        out %al, %dx
1:      ret
started: .asciz "\r\nsetup: "
of:     .asciz "; initrd of "
with:   .asciz "; code "
initrd: .asciz ", initrd "
done:   .asciz "; done\r\n"
copied: .asciz "1234567"
        .balign 8
table:  .quad 0, 0
        .word 0xffff
source: .skip 6
        .word 0xffff
target: .skip 6
        .quad 0, 0
        .org 5 * 512
        .code32
code:   jmp 1f
        .asciz "CODE"
1:      cld
        mov $0x3fb, %dx
        mov $3, %al
        out %al, %dx
        mov %esi, %ebp
        lea here, %esi
        call say32
        movzwl 0x22(%ebp), %esi
        add %ebp, %esi
        cmpw $0xa33f, 0x20(%ebp)
        je 1f
        mov 0x228(%ebp), %esi
1:      call say32
        mov $initrd32, %esi
        call say32
        mov 0x218(%ebp), %esi
        call say32
        mov $done32, %esi
        call say32
1:      hlt
        jmp 1b
say32:  lodsb
        test %al, %al
        jz 1f
        mov $0x3f8, %dx
        out %al, %dx
        jmp say32
1:      ret
here:   .asciz "\r\ncode: "
initrd32: .asciz ", initrd "
done32: .asciz "; done\r\n"
END
printf 'INITRD\0\0' >"$work/initrd"

for kind in 0x200-0 0x201-0 0x204-0 0x200-1 0x201-1 0x202-1 0x206-1 0x20f-1; do
    version=${kind%-*} high=${kind#*-}
    as --32 --defsym VERSION=$version --defsym HIGH=$high -o "$work/image.o" "$work/image.s"
    # The 32-bit code is linked to where it is to run.
    place=$((high == 1 ? 0x100000 : 0x1000))
    ld -m elf_i386 -e 0 -Ttext $(printf '%#x' $((place - 2560))) --oformat binary -o "$work/image" "$work/image.o"
    for boot in direct bios; do
        n=$(new_vm mem=24M boot=$boot "kernel=$work/image" "initrd=$work/initrd")
        echo "cmdline protocol=$version high=$high" >"$mnt/$n/conf"
        echo start >"$mnt/$n/ctl"
        await "$mnt/$n/log" '; done'
        if [ $boot = bios ]; then
            expected="setup: protocol=$version high=$high; initrd of 8; code "
        else
            expected="code: protocol=$version high=$high, initrd INITRD; done"
        fi
        holds "$boot, protocol $version, high $high: $(grep -a '; done' "$mnt/$n/log")" has_text "$mnt/$n/log" "$expected"
        [ $boot = direct ] || holds "code and initrd are where they belong: $(grep -a '; done' "$mnt/$n/log")" \
            env LC_ALL=C grep -qa 'code .*CODE, initrd INITRD; done' "$mnt/$n/log"
        echo destroy >"$mnt/$n/ctl"
    done
done
