# SPDX-License-Identifier: MIT
# Part of linux.S: kernels that are entered in flat 32-bit protected mode, multiboot kernels and other
# ELF files. The host has worked out what goes where and what the kernel is told; only the BIOS knows
# which memory is free, and the memory map, which is filled in here.

# --- the list that vmcore/machine/firmware.cpp makes, all in four bytes --------------------------------
        .equ    MAP_FORMAT, 0           # 1: multiboot, 2: Linux' zero page
        .equ    ENTRY, 4
        .equ    ENTRY_EAX, 8
        .equ    ENTRY_EBX, 12
        .equ    ENTRY_ESI, 16
        .equ    ENTRY_ESP, 20
        .equ    GDT, 24                 # flat: 0x10 code, 0x18 data
        .equ    INFORMATION, 28         # the structure that has the map
        .equ    MAP, 32
        .equ    MAP_ROOM, 36            # ranges
        .equ    PIECES, 40              # how many follow:
        .equ    LIST_HEADER, 44
        .equ    PIECE_KEY, 0            # the item that has the bytes
        .equ    PIECE_OFFSET, 4         # where in it
        .equ    PIECE_BYTES, 8
        .equ    PIECE_ADDRESS, 12
        .equ    PIECE_SIZE, 16          # zeros follow the bytes
        .equ    PIECE_LENGTH, 20
        .equ    MAX_PIECES, 256

# --- memory in WORK, below 0x10000, where no piece goes ------------------------------------------------
        .equ    LIST, 0x400
        .equ    RANGES, 0x2000          # of INT 15h E820: base, length (8 bytes each), type
        .equ    RANGE_LENGTH, 20
        .equ    MAX_RANGES, 64
        .equ    RAM, 1
        .equ    NOTHING, 0x1f           # an item that there is not: it reads as zeros

# --- what kernels are told -------------------------------------------------------------------------------
        .equ    MULTIBOOT, 1
        .equ    MB_MEM_LOWER, 4
        .equ    MB_MEM_UPPER, 8
        .equ    MB_MMAP_LENGTH, 44
        .equ    ZP_ALT_MEM_K, 0x1e0
        .equ    ZP_E820_ENTRIES, 0x1e8

        .struct program_variables
ranges:         .skip 4                 # how many there are
low_end:        .skip 4                 # of the RAM that begins at 0
gdtr:           .skip 8
        .if     . > LIST
        .error  "variables run into the list"
        .endif

        .text
boot_program:
        mov     $SETUP_DATA, %ax
        mov     $LIST_HEADER, %ecx
        mov     $WORK * 16 + LIST, %edx
        call    fetch
        mov     $no_kernel, %si
        mov     LIST + PIECES, %ecx
        cmp     $MAX_PIECES, %ecx
        ja      fail
        imul    $PIECE_LENGTH, %ecx, %ecx
        add     $LIST_HEADER, %ecx
        mov     $SETUP_DATA, %ax
        mov     $WORK * 16 + LIST, %edx
        call    fetch
        call    find_memory             # high_end
        call    read_map

        # Nothing is written before it is known that everything has a place.
        mov     $LIST + LIST_HEADER, %bx
        mov     LIST + PIECES, %bp
1:      call    check_piece
        add     $PIECE_LENGTH, %bx
        dec     %bp
        jnz     1b
        mov     $LIST + LIST_HEADER, %bx
        mov     LIST + PIECES, %bp
1:      call    load_piece
        add     $PIECE_LENGTH, %bx
        dec     %bp
        jnz     1b

        cli
        movw    $31, gdtr
        mov     LIST + GDT, %eax
        mov     %eax, gdtr + 2
        xor     %eax, %eax
        mov     %cs, %ax
        shl     $4, %eax
        add     $flat - rom, %eax       # the BIOS may have put this ROM anywhere
        lgdtl   gdtr
        mov     %cr0, %edx
        or      $1, %dl
        mov     %edx, %cr0
        pushl   $0x10
        pushl   %eax
        lretl

# The piece at %bx must be inside one range of RAM; fails if it is not. Keeps %bx, %bp.
check_piece:
        mov     $no_memory, %si
        mov     PIECE_ADDRESS(%bx), %edx
        mov     %edx, %ecx
        add     PIECE_SIZE(%bx), %ecx   # the first byte behind it
        jc      fail
        mov     $RANGES, %di
        mov     ranges, %ax
1:      dec     %ax
        js      fail
        cmpl    $RAM, 16(%di)
        jne     2f
        cmpl    $0, 4(%di)
        jne     2f
        cmp     (%di), %edx
        jb      2f
        cmpl    $0, 12(%di)
        jne     3f                      # 4 GiB long
        push    %edx
        mov     (%di), %edx
        add     8(%di), %edx
        jnc     4f
        mov     $-1, %edx
4:      cmp     %edx, %ecx
        pop     %edx
        jbe     3f
2:      add     $RANGE_LENGTH, %di
        jmp     1b
3:      ret

# The piece at %bx: its bytes, then zeros. Keeps %bx, %bp.
load_piece:
        mov     PIECE_KEY(%bx), %eax
        shl     $16, %eax
        or      $DMA_SELECT_AND_SKIP, %eax
        mov     PIECE_OFFSET(%bx), %ecx
        xor     %edx, %edx
        call    transfer
        mov     $DMA_READ, %eax
        mov     PIECE_BYTES(%bx), %ecx
        mov     PIECE_ADDRESS(%bx), %edx
        call    transfer
        mov     $NOTHING, %ax
        mov     PIECE_BYTES(%bx), %edx
        mov     PIECE_SIZE(%bx), %ecx
        sub     %edx, %ecx
        add     PIECE_ADDRESS(%bx), %edx
        jmp     fetch

# INT 15h E820, all of it, to RANGES; low_end. Further ranges than there is room for are left out.
read_map:
        movl    $0, ranges
        movl    $0, low_end
        xor     %ebx, %ebx
        mov     $RANGES, %di
1:      mov     $0xe820, %eax
        mov     $0x534d4150, %edx       # "SMAP"
        mov     $RANGE_LENGTH, %ecx
        int     $0x15
        jc      9f
        cmp     $0x534d4150, %eax
        jne     9f
        cmpl    $RAM, 16(%di)
        jne     2f
        mov     (%di), %eax
        or      4(%di), %eax
        jnz     2f
        mov     8(%di), %eax
        mov     %eax, low_end
2:      add     $RANGE_LENGTH, %di
        incl    ranges
        cmpl    $MAX_RANGES, ranges
        jae     9f
        test    %ebx, %ebx
        jnz     1b
9:      ret

        .code32
flat:
        mov     $0x18, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     %eax, %fs
        mov     %eax, %gs
        mov     $WORK * 16, %ebp
        mov     LIST + INFORMATION(%ebp), %ebx
        mov     LIST + MAP(%ebp), %edi
        lea     RANGES(%ebp), %esi
        mov     ranges(%ebp), %edx
        cmp     LIST + MAP_ROOM(%ebp), %edx
        jbe     1f
        mov     LIST + MAP_ROOM(%ebp), %edx
1:      mov     high_end(%ebp), %eax    # KiB of RAM behind 1 MiB
        sub     $HIGH, %eax
        shr     $10, %eax
        cmpl    $MULTIBOOT, LIST + MAP_FORMAT(%ebp)
        jne     2f
        mov     %eax, MB_MEM_UPPER(%ebx)
        mov     low_end(%ebp), %eax
        shr     $10, %eax
        mov     %eax, MB_MEM_LOWER(%ebx)
        imul    $RANGE_LENGTH + 4, %edx, %eax
        mov     %eax, MB_MMAP_LENGTH(%ebx)
1:      dec     %edx
        js      enter_program
        mov     $RANGE_LENGTH, %eax     # the size of what follows
        stosl
        mov     $RANGE_LENGTH / 4, %ecx
        rep movsl
        jmp     1b
2:      mov     %eax, ZP_ALT_MEM_K(%ebx)
        mov     %dl, ZP_E820_ENTRIES(%ebx)
        imul    $RANGE_LENGTH / 4, %edx, %ecx
        rep movsl

enter_program:
        mov     LIST + ENTRY_EAX(%ebp), %eax
        mov     LIST + ENTRY_EBX(%ebp), %ebx
        mov     LIST + ENTRY_ESI(%ebp), %esi
        mov     LIST + ENTRY_ESP(%ebp), %esp
        xor     %ecx, %ecx
        xor     %edx, %edx
        xor     %edi, %edi
        xor     %ebp, %ebp
        jmp     *WORK * 16 + LIST + ENTRY
        .code16
