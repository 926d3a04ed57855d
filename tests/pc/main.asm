; SPDX-License-Identifier: MIT
; A program that walks what the Intel manual (SDM vol 3A and 3B) says of protection, and prints a line for each case on
; COM1: exceptions, gates, segments, paging, virtual-8086 mode, tasks, debugging, interrupts, A20. A multiboot kernel;
; `only=PREFIX` and `skip=PREFIX` on its command line choose cases by name.
;
; It lies in an even megabyte, as all it uses does, so that it lives on while A20 is off.

LOAD    equ 0x200000
        org LOAD
        bits 32

%include "layout.inc"
%include "macros.inc"

; Multiboot 0.6.96 §3.1.1, with the addresses in the header (bit 16).
        align 4
header: dd 0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000)
        dd header, LOAD, image_end, BSS_END, start

%include "console.inc"
%include "state.inc"
%include "events.inc"
%include "run.inc"

%include "exceptions.inc"
%include "faults.inc"
%include "alignment.inc"
%include "fpu.inc"
%include "gates.inc"
%include "call_gates.inc"
%include "returns.inc"
%include "segments.inc"
%include "stacks_and_code.inc"
%include "selectors.inc"
%include "paging.inc"
%include "paging_modes.inc"
%include "v86.inc"
%include "vme.inc"
%include "tasks.inc"
%include "task_faults.inc"
%include "single_step.inc"
%include "breakpoints.inc"
%include "irq.inc"
%include "a20.inc"

        LAST_CASE
        align 16
image_end:
%if ADDR(image_end) > GDT
%error "the program has grown into its work area"
%endif
