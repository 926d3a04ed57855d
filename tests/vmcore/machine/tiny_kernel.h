// SPDX-License-Identifier: MIT
// A bzImage of a few bytes: the boot protocol's header and hand-made 32-bit code.
#pragma once

#include <cstring>
#include <initializer_list>
#include <vector>

#include "vmcore/types.h"

namespace ennead::vmcore::test {

// The header's fields that a boot loader reads (boot.rst, "The Real-Mode Kernel Header").
struct TinyKernel {
    std::vector<u8> code;  // entered at 1 MiB
    u16 version = 0x020f;
    u8 setup_sectors = 1;
    u8 load_flags = 1;  // LOADED_HIGH
    u32 initrd_addr_max = 0x7fffffff;
    u32 kernel_alignment = 0x1000;
    u8 relocatable = 1;
    u32 cmdline_size = 255;
    u64 pref_address = 0x100000;
    u32 init_size = 0x10000;

    [[nodiscard]] std::vector<u8> image() const {
        std::vector<u8> bytes((setup_sectors + 1u) * 512);
        const auto put = [&](u32 at, auto value) {
            std::memcpy(bytes.data() + at, &value, sizeof value);
        };
        put(0x1f1, setup_sectors);
        put(0x1fe, u16{0xaa55});
        put(0x200, u16{0x6aeb});  // jmp to 0x26c, where the header ends
        std::memcpy(bytes.data() + 0x202, "HdrS", 4);
        put(0x206, version);
        put(0x211, load_flags);
        put(0x22c, initrd_addr_max);
        put(0x230, kernel_alignment);
        put(0x234, relocatable);
        put(0x238, cmdline_size);
        put(0x258, pref_address);
        put(0x260, init_size);
        bytes.insert(bytes.end(), code.begin(), code.end());
        return bytes;
    }
};

// Position-independent code; all of it halts for ever at its end.
namespace code {

// mov dx,3fbh; mov al,3 (8 bits a character: after reset there are 5); out dx,al
// mov dx,3f8h; mov al,'h'; out dx,al; mov al,'i'; out dx,al; cli; 1: hlt; jmp 1b
inline const std::vector<u8> kHello = {0x66, 0xba, 0xfb, 0x03, 0xb0, 0x03, 0xee,
                                       0x66, 0xba, 0xf8, 0x03, 0xb0, 'h',  0xee,
                                       0xb0, 'i',  0xee, 0xfa, 0xf4, 0xeb, 0xfd};
// mov dx,604h; mov ax,2000h (SLP_EN, SLP_TYP 0); out dx,ax; 1: hlt; jmp 1b
inline const std::vector<u8> kPowerOff = {0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00,
                                          0x20, 0x66, 0xef, 0xf4, 0xeb, 0xfd};
// mov dx,505h; in al,dx; and al,1; out dx,al; 1: hlt; jmp 1b
inline const std::vector<u8> kPanic = {0x66, 0xba, 0x05, 0x05, 0xec, 0x24,
                                       0x01, 0xee, 0xf4, 0xeb, 0xfd};
// mov dx,0cf9h; mov al,6; out dx,al; 1: hlt; jmp 1b
inline const std::vector<u8> kResetByPci = {0x66, 0xba, 0xf9, 0x0c, 0xb0,
                                            0x06, 0xee, 0xf4, 0xeb, 0xfd};
// mov al,0feh; out 64h,al; 1: hlt; jmp 1b
inline const std::vector<u8> kResetByKeyboard = {0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd};
// in al,92h; or al,1; out 92h,al; 1: hlt; jmp 1b
inline const std::vector<u8> kResetByPort92 = {0xe4, 0x92, 0x0c, 0x01, 0xe6,
                                               0x92, 0xf4, 0xeb, 0xfd};
// mov al,0d1h; out 64h,al; mov al,2; out 60h,al (output port: A20 on, reset low); 1: hlt; jmp 1b
inline const std::vector<u8> kResetByOutputPort = {0xb0, 0xd1, 0xe6, 0x64, 0xb0, 0x02,
                                                   0xe6, 0x60, 0xf4, 0xeb, 0xfd};
// ud2, with no IDT to take its fault to
inline const std::vector<u8> kTripleFault = {0x0f, 0x0b};
// 1: inc dword [300000h]; jmp 1b
inline const std::vector<u8> kSpin = {0xff, 0x05, 0x00, 0x00, 0x30, 0x00, 0xeb, 0xf8};
// mov dx,3fbh; mov al,3; out dx,al
// mov dx,3f8h; mov al,'0'; add al,[200000h]; out dx,al; inc byte [200000h]; 1: hlt; jmp 1b
inline const std::vector<u8> kCountBoots = {
    0x66, 0xba, 0xfb, 0x03, 0xb0, 0x03, 0xee, 0x66, 0xba, 0xf8, 0x03, 0xb0, '0',  0x02, 0x05,
    0x00, 0x00, 0x20, 0x00, 0xee, 0xfe, 0x05, 0x00, 0x00, 0x20, 0x00, 0xf4, 0xeb, 0xfd};

// Sends back what COM1 receives, by interrupt, with every other interrupt masked.
// clang-format off
inline const std::vector<u8> kEcho = {
    0xb0, 0x11, 0xe6, 0x20,                                // mov al,11h; out 20h,al    ICW1
    0xb0, 0x20, 0xe6, 0x21,                                // mov al,20h; out 21h,al    ICW2
    0xb0, 0x04, 0xe6, 0x21,                                // mov al,4; out 21h,al      ICW3
    0xb0, 0x01, 0xe6, 0x21,                                // mov al,1; out 21h,al      ICW4
    0xb0, 0xef, 0xe6, 0x21,                                // mov al,0efh; out 21h,al   all but IRQ 4
    0xe8, 0x00, 0x00, 0x00, 0x00, 0x58,                    // call 1f; 1: pop eax
    0x83, 0xc0, 0x5f,                                      // add eax,isr-1b
    0x66, 0xa3, 0x20, 0x01, 0x20, 0x00,                    // mov [200120h],ax          gate 24h
    0x66, 0xc7, 0x05, 0x22, 0x01, 0x20, 0x00, 0x10, 0x00,  // mov word [200122h],10h
    0x66, 0xc7, 0x05, 0x24, 0x01, 0x20, 0x00, 0x00, 0x8e,  // mov word [200124h],8e00h
    0xc1, 0xe8, 0x10,                                      // shr eax,16
    0x66, 0xa3, 0x26, 0x01, 0x20, 0x00,                    // mov [200126h],ax
    0x66, 0xc7, 0x05, 0x00, 0x02, 0x20, 0x00, 0xff, 0x07,  // mov word [200200h],7ffh
    0xc7, 0x05, 0x02, 0x02, 0x20, 0x00, 0x00, 0x00, 0x20, 0x00,  // mov dword [200202h],200000h
    0x0f, 0x01, 0x1d, 0x00, 0x02, 0x20, 0x00,              // lidt [200200h]
    0x66, 0xba, 0xfc, 0x03, 0xb0, 0x0b, 0xee,              // MCR: DTR RTS OUT2
    0x66, 0xba, 0xfb, 0x03, 0xb0, 0x03, 0xee,              // LCR: 8 bits
    0x66, 0xba, 0xfa, 0x03, 0xb0, 0x01, 0xee,              // FCR: FIFOs on
    0x66, 0xba, 0xf9, 0x03, 0xb0, 0x01, 0xee,              // IER: receive
    0xfb, 0xf4, 0xeb, 0xfd,                                // sti; 1: hlt; jmp 1b
    0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0x08,  // isr: LSR; no data: jump to the end
    0x66, 0xba, 0xf8, 0x03, 0xec, 0xee, 0xeb, 0xef,        // in al,dx; out dx,al; jmp isr
    0xb0, 0x20, 0xe6, 0x20, 0xcf,                          // EOI; iret
};
// clang-format on

}  // namespace code
}  // namespace ennead::vmcore::test
