; SPDX-License-Identifier: MIT
; A multiboot kernel that reads every clock of the PC. For each byte that comes on COM1 it prints a line of hexadecimal
; numbers: the TSC before, the ACPI PM timer, the PIT's channel 0, the APIC timer, the TSC behind; then of the last
; change of the RTC's seconds: how many seconds since the start, and the TSC before and behind. `q` powers off.

LOAD    equ 0x100000
COM1    equ 0x3f8
PIT     equ 0x40
RTC     equ 0x70
PM_TIMER equ 0x608                      ; of a PIIX4 where firmware places it
APIC    equ 0xfee00000
        org LOAD
        bits 32

        align 4
header: dd 0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000)
        dd header, LOAD, image_end, image_end + 0x4000, start

start:
        cli
        cld
        mov esp, image_end + 0x4000
        mov dx, COM1 + 1                ; no interrupts
        xor al, al
        out dx, al
        mov dx, COM1 + 3                ; 8 data bits
        mov al, 3
        out dx, al
        inc edx                         ; DTR and RTS: ready to receive
        out dx, al
        ; Channel 0 counts down from 65536 again and again (mode 2).
        mov al, 0x34
        out PIT + 3, al
        xor al, al
        out PIT, al
        out PIT, al
        ; The local APIC's timer: periodic, masked, every tick of its clock.
        mov dword [APIC + 0xf0], 0x1ff
        mov dword [APIC + 0x320], 0x30040
        mov dword [APIC + 0x3e0], 0xb
        mov dword [APIC + 0x380], 0xffffffff
        call read_second
        mov [second], al
        mov esi, .ready
.say:   lodsb
        test al, al
        jz .look
        call put
        jmp .say
.look:  call watch_rtc
        mov dx, COM1 + 5
        in al, dx
        test al, 1                      ; a byte has come
        jz .look
        mov dx, COM1
        in al, dx
        cmp al, 'q'
        je .off
        call print_clocks
        jmp .look
.off:   mov dx, 0x604
        mov ax, 0x2000
        out dx, ax
        hlt
.ready: db "clocks ready", 13, 10, 0

print_clocks:
        rdtsc
        mov [tsc], eax
        mov [tsc + 4], edx
        mov dx, PM_TIMER
        in eax, dx
        mov [pm], eax
        xor al, al                      ; latch channel 0
        out PIT + 3, al
        in al, PIT
        mov cl, al
        in al, PIT
        mov ch, al
        mov [pit], cx
        mov eax, [APIC + 0x390]
        mov [apic], eax
        rdtsc
        mov [tsc_behind], eax
        mov [tsc_behind + 4], edx
        mov esi, numbers
        mov ecx, (numbers_end - numbers) / 8
.next:  mov eax, [esi + 4]
        call put_hex
        mov eax, [esi]
        call put_hex
        mov al, ' '
        call put
        add esi, 8
        loop .next
        mov al, 13
        call put
        mov al, 10
        jmp put

; Notes it if the RTC's second is another now.
watch_rtc:
        rdtsc
        mov ebx, eax
        mov ebp, edx
        call read_second
        mov cl, al
        rdtsc
        cmp cl, [second]
        je .same
        mov [edge_behind], eax
        mov [edge_behind + 4], edx
        mov eax, [last_look]
        mov [edge_before], eax
        mov eax, [last_look + 4]
        mov [edge_before + 4], eax
        mov al, cl
        sub al, [second]
        jnc .forward
        add al, 60
.forward:
        movzx eax, al
        add [edges], eax
        mov [second], cl
.same:  mov [last_look], ebx
        mov [last_look + 4], ebp
        ret

; AL: the RTC's second, 0 to 59, read while no update is in progress.
read_second:
        mov al, 0x0a
        out RTC, al
        in al, RTC + 1
        test al, 0x80
        jnz read_second
        xor al, al
        out RTC, al
        in al, RTC + 1
        mov ah, al                      ; BCD
        shr ah, 4
        and al, 15
        aad
        ret

put:
        push edx
        push eax
        mov dx, COM1 + 5
.wait:  in al, dx
        test al, 0x20
        jz .wait
        pop eax
        mov dx, COM1
        out dx, al
        pop edx
        ret

put_hex:
        push ecx
        mov edx, eax
        mov ecx, 8
.digit: rol edx, 4
        mov eax, edx
        and eax, 15
        mov al, [.digits + eax]
        call put
        loop .digit
        pop ecx
        ret
.digits: db "0123456789abcdef"

        align 8
numbers:
tsc:         dq 0
pm:          dq 0
pit:         dq 0
apic:        dq 0
tsc_behind:  dq 0
edges:       dq 0
edge_before: dq 0
edge_behind: dq 0
numbers_end:
last_look:   dq 0
second:      db 0
        align 16
image_end:
