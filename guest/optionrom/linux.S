# SPDX-License-Identifier: MIT
# The option ROM by which a BIOS boots the kernel that a machine was given: it fetches the parts of a
# Linux image through the firmware configuration device (QEMU's specs/fw_cfg) by DMA, which reaches all
# of memory from real mode, and does what Documentation/x86/boot.rst asks of a boot loader. Kernels of
# other kinds: program.S.
#
# Headers: Plug and Play BIOS Specification 1.0A, §3. build.sh fills in the two checksums.

        .code16
        .text

# --- fw_cfg ---------------------------------------------------------------------------------------
        .equ    DMA_LOW, 0x518          # writing here starts a transfer; the half at 0x514 is zero
        .equ    DMA_ERROR, 1
        .equ    DMA_READ, 2
        .equ    DMA_SELECT_AND_SKIP, 8 | 4
        .equ    DMA_SELECT_AND_READ, 8 | 2
        .equ    KERNEL_SIZE, 0x08
        .equ    INITRD_SIZE, 0x0b
        .equ    KERNEL_ENTRY, 0x10      # not 0: no Linux image
        .equ    KERNEL_DATA, 0x11
        .equ    INITRD_DATA, 0x12
        .equ    COMMAND_LINE_SIZE, 0x14
        .equ    COMMAND_LINE_DATA, 0x15
        .equ    SETUP_SIZE, 0x17
        .equ    SETUP_DATA, 0x18

# --- the setup header, offsets from the start of the image ------------------------------------------
        .equ    OLD_MAGIC, 0x020        # before protocol 2.02: the command line's place
        .equ    OLD_OFFSET, 0x022
        .equ    VERSION, 0x206
        .equ    TYPE_OF_LOADER, 0x210
        .equ    LOADFLAGS, 0x211
        .equ    RAMDISK_IMAGE, 0x218
        .equ    RAMDISK_SIZE, 0x21c
        .equ    HEAP_END_PTR, 0x224
        .equ    CMD_LINE_PTR, 0x228
        .equ    INITRD_ADDR_MAX, 0x22c
        .equ    KERNEL_ALIGNMENT, 0x230
        .equ    RELOCATABLE, 0x234
        .equ    PREF_ADDRESS, 0x258
        .equ    INIT_SIZE, 0x260
        .equ    LOADED_HIGH, 1
        .equ    CAN_USE_HEAP, 0x80

# --- memory ---------------------------------------------------------------------------------------
        .equ    WORK, 0x0800            # our segment: variables, and at its end the stack
        .equ    STACK, 0x7ff0
        .equ    SETUP, 0x1000           # the setup code's, and of kernels before 2.02 and zImages
        .equ    OLD_SETUP, 0x9000
        .equ    COMMAND_LINE, 0x20000
        .equ    HEAP_END, 0xe000        # in the setup code's segment; its stack begins there too
        .equ    OLD_HEAP_END, 0x9800    # behind it the command line
        .equ    HIGH, 0x100000
        .equ    LOW_CODE, 0x10000       # where a zImage's setup code looks for its other part
        .equ    LARGEST_SETUP, 0x8000

        .struct 0                       # variables, in WORK
dma:            .skip 16                # control, length, address: big-endian
setup_size:     .skip 4
kernel_size:    .skip 4
initrd_size:    .skip 4
command_size:   .skip 4
code_at:        .skip 4
code_end:       .skip 4                 # of what the kernel needs before it knows the memory map
high_end:       .skip 4                 # of the RAM that begins at 1 MiB
initrd_at:      .skip 4
command_at:     .skip 4
setup_segment:  .skip 2
heap_end:       .skip 2
range:          .skip 24                # of INT 15h E820
kernel_entry:   .skip 4
program_variables:

        .text
rom:
        .byte   0x55, 0xaa
        .byte   (rom_end - rom) / 512
        jmp     init                    # a short jump; offset 3
        .org    rom + 0x1a
        .word   pnp - rom
        .org    rom + 0x20
pnp:
        .ascii  "$PnP"
        .byte   1                       # revision
        .byte   2                       # length in units of 16 bytes
        .word   0                       # no further header
        .byte   0
        .byte   0                       # checksum
        .long   0                       # device identifier: none
        .word   manufacturer - rom
        .word   product - rom
        .byte   0x05, 0x80, 0x00        # type: memory controller, other: the table has no better
        .byte   0x14                    # an initial program load device; only read once enabled
        .word   0                       # boot connection vector: no INT 13h device
        .word   0                       # disconnect vector
        .word   boot - rom              # bootstrap entry vector
        .word   0
        .word   0                       # static resource information

init:                                   # the BIOS looks whether there is a device: it has been given one
        mov     $0x0020, %ax            # no connected output or input device; an IPL device is there
        lret

# --- boot -----------------------------------------------------------------------------------------
boot:
        cli
        cld
        mov     $WORK, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $STACK, %esp
        sti

        mov     $KERNEL_ENTRY, %ax
        mov     $kernel_entry, %bx
        call    fetch_number
        cmpl    $0, kernel_entry
        jne     boot_program

        mov     $SETUP_SIZE, %ax
        mov     $setup_size, %bx
        call    fetch_number
        mov     $KERNEL_SIZE, %ax
        mov     $kernel_size, %bx
        call    fetch_number
        mov     $INITRD_SIZE, %ax
        mov     $initrd_size, %bx
        call    fetch_number
        mov     $COMMAND_LINE_SIZE, %ax
        mov     $command_size, %bx
        call    fetch_number

        # The setup code, to where new kernels want it; its header says whether this is one.
        mov     $no_kernel, %si
        mov     setup_size, %ecx
        cmp     $0x400, %ecx
        jb      fail
        cmp     $LARGEST_SETUP, %ecx
        ja      fail
        mov     $SETUP, %bx
        call    fetch_setup
        movw    $HEAP_END, heap_end
        movl    $COMMAND_LINE, command_at
        movl    $HIGH, code_at
        movl    $HIGH, code_end
        testb   $LOADED_HIGH, %fs:LOADFLAGS
        jz      1f
        cmpw    $0x0202, %fs:VERSION
        jae     2f
        jmp     3f
1:      movl    $LOW_CODE, code_at
        movl    $LOW_CODE, code_end
3:      mov     $OLD_SETUP, %bx
        call    fetch_setup
        movw    $OLD_HEAP_END, heap_end
        movl    $OLD_SETUP * 16 + OLD_HEAP_END, command_at
2:
        # Where the kernel ends, and what it asks for while it unpacks itself.
        call    find_memory
        mov     kernel_size, %eax
        mov     $no_memory, %si
        add     %eax, code_end
        jc      fail
        cmpl    $HIGH, code_at
        jae     1f
        cmpl    $OLD_SETUP * 16, code_end
        ja      fail
        movl    $HIGH, code_end         # what comes of it is unpacked there
1:      cmpw    $0x020a, %fs:VERSION
        jb      2f
        cmpl    $0, %fs:PREF_ADDRESS + 4
        jne     fail
        mov     $HIGH, %eax
        cmpb    $0, %fs:RELOCATABLE
        je      1f
        mov     %fs:KERNEL_ALIGNMENT, %ecx
        jecxz   1f
        xor     %edx, %edx              # the next multiple of the alignment
        add     %ecx, %eax
        jc      fail
        dec     %eax
        div     %ecx
        mul     %ecx
1:      cmp     %fs:PREF_ADDRESS, %eax  # it takes the higher of the two
        jae     1f
        mov     %fs:PREF_ADDRESS, %eax
1:      add     %fs:INIT_SIZE, %eax
        jc      fail
        cmp     code_end, %eax
        jbe     2f
        mov     %eax, code_end
2:      mov     high_end, %eax
        cmp     code_end, %eax
        jb      fail

        # The initrd goes as high as RAM and the kernel allow.
        mov     initrd_size, %ecx
        jecxz   1f
        mov     $0x37ffffff, %edx       # before 2.03
        cmpw    $0x0203, %fs:VERSION
        jb      2f
        mov     %fs:INITRD_ADDR_MAX, %edx
2:      dec     %eax                    # the last byte of RAM
        cmp     %eax, %edx
        jb      2f
        mov     %eax, %edx
2:      sub     %ecx, %edx
        jb      fail
        inc     %edx
        and     $~0xfff, %edx
        cmp     code_end, %edx
        jb      fail
        mov     %edx, initrd_at
        mov     $INITRD_DATA, %ax
        call    fetch
1:
        mov     $KERNEL_DATA, %ax
        mov     kernel_size, %ecx
        mov     code_at, %edx
        call    fetch

        mov     $no_kernel, %si
        mov     $COMMAND_LINE_DATA, %ax
        mov     command_size, %ecx
        cmp     $0x6000, %ecx           # what is free behind it, in either place
        ja      fail
        mov     command_at, %edx
        call    fetch

        # What a boot loader fills in.
        movb    $0xff, %fs:TYPE_OF_LOADER
        mov     initrd_size, %eax
        mov     %eax, %fs:RAMDISK_SIZE
        test    %eax, %eax
        jz      1f
        mov     initrd_at, %eax
1:      mov     %eax, %fs:RAMDISK_IMAGE
        cmpw    $0x0201, %fs:VERSION
        jb      1f
        orb     $CAN_USE_HEAP, %fs:LOADFLAGS
        mov     heap_end, %ax
        sub     $0x200, %ax
        mov     %ax, %fs:HEAP_END_PTR
1:      mov     command_at, %eax
        cmpw    $0x0202, %fs:VERSION
        jb      1f
        mov     %eax, %fs:CMD_LINE_PTR
        jmp     enter
1:      movw    $0xa33f, %fs:OLD_MAGIC
        sub     $OLD_SETUP * 16, %eax
        mov     %ax, %fs:OLD_OFFSET

enter:
        cli
        movzwl  heap_end, %esp
        mov     setup_segment, %ax
        mov     %ax, %ss
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %gs
        add     $0x20, %ax
        push    %ax
        push    $0
        xor     %ebx, %ebx
        xor     %ebp, %ebp
        lret

# The setup code to segment %bx, which becomes %fs. Keeps no registers.
fetch_setup:
        mov     %bx, setup_segment
        mov     %bx, %fs
        movzwl  %bx, %edx
        shl     $4, %edx
        mov     setup_size, %ecx
        mov     $SETUP_DATA, %ax
        jmp     fetch

# The number under key %ax to the variable at %bx.
fetch_number:
        movzwl  %bx, %edx
        add     $WORK * 16, %edx
        mov     $4, %ecx
        # falls through

# %ecx bytes of what is under key %ax, to address %edx. Keeps %si, %fs.
fetch:
        movzwl  %ax, %eax
        shl     $16, %eax
        or      $DMA_SELECT_AND_READ, %eax
        # falls through

# A transfer of %ecx bytes as %eax says, to address %edx. Keeps %bx, %si, %fs.
transfer:
        bswap   %eax
        mov     %eax, dma
        bswap   %ecx
        mov     %ecx, dma + 4
        movl    $0, dma + 8
        bswap   %edx
        mov     %edx, dma + 12
        mov     $WORK * 16 + dma, %eax
        bswap   %eax
        mov     $DMA_LOW, %dx
        out     %eax, %dx
1:      mov     dma, %eax
        bswap   %eax
        test    $~DMA_ERROR, %eax
        jnz     1b
        test    $DMA_ERROR, %eax
        jz      2f
        mov     $no_memory, %si
        jmp     fail
2:      ret

# high_end: the end of the RAM that begins at or below 1 MiB and goes beyond it.
find_memory:
        xor     %ebx, %ebx
        movl    $HIGH, high_end
1:      mov     $0xe820, %eax
        mov     $0x534d4150, %edx       # "SMAP"
        mov     $20, %ecx
        mov     $range, %di
        int     $0x15
        jc      9f
        cmp     $0x534d4150, %eax
        jne     9f
        cmpl    $1, range + 16          # RAM
        jne     8f
        cmpl    $0, range + 4
        jne     8f
        mov     range, %eax
        cmp     $HIGH, %eax
        ja      8f
        add     range + 8, %eax
        jc      8f
        cmpl    $0, range + 12
        jne     8f
        cmp     high_end, %eax
        jbe     8f
        mov     %eax, high_end
8:      test    %ebx, %ebx
        jnz     1b
9:      ret

        .include "program.S"

# Says the text at %cs:%si and lets the BIOS try the next device.
fail:
        mov     $prefix, %di
        xchg    %si, %di
        call    say
        mov     %di, %si
        call    say
        int     $0x18
1:      hlt
        jmp     1b

say:
1:      mov     %cs:(%si), %al
        inc     %si
        test    %al, %al
        jz      2f
        mov     $0x0e, %ah
        mov     $7, %bx
        push    %si
        push    %di
        int     $0x10
        pop     %di
        pop     %si
        jmp     1b
2:      ret

manufacturer:
        .asciz  "Ennead"
product:
        .asciz  "Ennead: kernel"
prefix:
        .asciz  "Ennead: "
no_kernel:
        .asciz  "the kernel is none that can be booted here\r\n"
no_memory:
        .asciz  "not enough memory for the kernel or its initrd\r\n"

        .byte   0                       # so that the last byte is free for the checksum
        .balign 512, 0
rom_end:
