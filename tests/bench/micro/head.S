// SPDX-License-Identifier: MIT
// The way in: a Linux setup header, so that whatever boots a bzImage boots this, and the two entry points that
// the boot protocol knows. QEMU's loader and v86's enter the real-mode one, Ennead's the 32-bit one.

// --- boot sector and setup code, 512 bytes each (Documentation/x86/boot.rst has the offsets) -----------------
    .section .setup, "ax"
    .code16
    .org 0x1f1
    .byte 1                     // setup_sects
    .org 0x1fe
    .word 0xaa55
real_mode_entry:                // 0x200, entered at offset 0 of a segment
    .byte 0xeb, real_mode_start - 1f
1:  .ascii "HdrS"
    .word 0x0206                // protocol: the last before the kernel must tell how much room it needs
    .org 0x211
    .byte 1                     // loadflags: the rest goes to 1 MiB
    .org 0x214
    .long 0x100000              // code32_start
    .org 0x22c
    .long 0x7fffffff            // initrd_addr_max
    .org 0x238
    .long 2047                  // cmdline_size
real_mode_start:
    cli
    xorl %eax, %eax
    movw %cs, %ax
    shll $4, %eax
    addl $(setup_gdt - real_mode_entry), %eax
    movl %eax, %cs:(setup_gdtr + 2 - real_mode_entry)
    lgdtl %cs:(setup_gdtr - real_mode_entry)
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    movw $0x18, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    ljmpl $0x10, $0x100000
    .balign 8
setup_gdt:
    .quad 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
setup_gdtr:
    .word 31
    .long 0
    .org 0x400

// --- the 32-bit entry, at 1 MiB ---------------------------------------------------------------------------------
// The segments are flat, as the protocol has them; whose table they came from is nobody's business any more.
    .section .head, "ax"
    .code32
    cli
    cld
    lgdt gdtr
    movl $stack_top, %esp
    xorl %eax, %eax
    movl $bss_start, %edi
    movl $bss_end, %ecx
    subl %edi, %ecx
    rep stosb
    fninit
    call micro
1:  hlt
    jmp 1b

    .balign 8
gdt:
    .quad 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:
    .word 31
    .long gdt

// --- handlers ----------------------------------------------------------------------------------------------------
    .globl on_interrupt, on_page_fault, on_other
on_interrupt:
    iret

// Maps the page that was touched, and lets the access be tried again.
on_page_fault:
    orl $1, page_tables + (0x3000000 >> 12) * 4
    incl faults
    addl $4, %esp               // the error code
    iret

on_other:
    call unexpected

    .bss
    .balign 16
    .skip 16384
stack_top:

    .section .note.GNU-stack
