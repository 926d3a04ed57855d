// SPDX-License-Identifier: MIT
// Rearrangements of lanes, and moves of single lanes and of sign bits.
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/simd_operands.h"

namespace ennead::vmcore {
namespace {

// Lane `n` of the four that a selector of two-bit fields takes from `from`, counted from lane
// `base`.
template <class T>
T selected(const Xmm& from, unsigned base, u32 selector, unsigned n) {
    return from.lane<T>(base + (selector >> (2 * n) & 3));
}

// PSHUFW, PSHUFLW, PSHUFHW: words base…base+3 rearranged, the others copied.
bool exec_shuffle_words(Cpu& cpu, const Insn& insn, unsigned base) {
    return exec_simd_to_reg(cpu, insn, [&](Xmm& dst, const Xmm& src) {
        dst = src;
        for (unsigned n = 0; n < 4; ++n) {
            dst.set_lane(base + n, selected<u16>(src, base, insn.imm, n));
        }
    });
}

template <class T>
u32 sign_bits(const Xmm& from, unsigned lanes) {
    u32 bits = 0;
    for (unsigned n = 0; n < lanes; ++n) {
        bits |= static_cast<u32>(from.lane<T>(n) >> (8 * sizeof(T) - 1)) << n;
    }
    return bits;
}

template <class T>
bool exec_sign_bits(Cpu& cpu, const Insn& insn) {
    return exec_simd_to_reg(cpu, insn, [&](Xmm& dst, const Xmm& src) {
        const unsigned bytes = opcode_row(insn.row).simd.rm == SimdForm::File::mmx ? 8 : 16;
        dst.set_lane(0, sign_bits<T>(src, bytes / sizeof(T)));
    });
}

// Even or odd lanes, each twice.
bool exec_duplicate(Cpu& cpu, const Insn& insn, unsigned odd) {
    return exec_simd_to_reg(cpu, insn, [&](Xmm& dst, const Xmm& src) {
        for (unsigned n = 0; n < 4; ++n) {
            dst.set_lane(n, src.lane<u32>((n & ~1u) | odd));
        }
    });
}

// Which word PINSRW and PEXTRW mean.
unsigned word_index(const Insn& insn, SimdForm::File file) {
    return insn.imm & (file == SimdForm::File::mmx ? 3 : 7);
}

// PSLLDQ and PSRLDQ: by bytes, zeros come in; 16 and more leave nothing.
bool exec_shift_bytes(Cpu& cpu, const Insn& insn, bool left) {
    SimdOperands o;
    if (!load_simd(cpu, insn, o)) {
        return false;
    }
    Xmm shifted;
    for (unsigned n = insn.imm; n < 16; ++n) {
        const unsigned low = n - insn.imm;
        shifted.bytes[left ? n : low] = o.rm.bytes[left ? low : n];
    }
    return store_simd_rm(cpu, insn, *o.form, shifted);
}

}  // namespace

bool exec_shufps(Cpu& cpu, const Insn& insn) {
    return exec_simd_to_reg(cpu, insn, [&](Xmm& dst, const Xmm& src) {
        const Xmm first = dst;
        for (unsigned n = 0; n < 4; ++n) {
            dst.set_lane(n, selected<u32>(n < 2 ? first : src, 0, insn.imm, n));
        }
    });
}

bool exec_shufpd(Cpu& cpu, const Insn& insn) {
    return exec_simd_to_reg(cpu, insn, [&](Xmm& dst, const Xmm& src) {
        dst.set_lane(0, dst.lane<u64>(insn.imm & 1));
        dst.set_lane(1, src.lane<u64>(insn.imm >> 1 & 1));
    });
}

bool exec_pshufd(Cpu& cpu, const Insn& insn) {
    return exec_simd_to_reg(cpu, insn, [&](Xmm& dst, const Xmm& src) {
        for (unsigned n = 0; n < 4; ++n) {
            dst.set_lane(n, selected<u32>(src, 0, insn.imm, n));
        }
    });
}

bool exec_pshufw(Cpu& cpu, const Insn& insn) {
    return exec_shuffle_words(cpu, insn, 0);
}
bool exec_pshuflw(Cpu& cpu, const Insn& insn) {
    return exec_shuffle_words(cpu, insn, 0);
}
bool exec_pshufhw(Cpu& cpu, const Insn& insn) {
    return exec_shuffle_words(cpu, insn, 4);
}

bool exec_movsldup(Cpu& cpu, const Insn& insn) {
    return exec_duplicate(cpu, insn, 0);
}
bool exec_movshdup(Cpu& cpu, const Insn& insn) {
    return exec_duplicate(cpu, insn, 1);
}
bool exec_movddup(Cpu& cpu, const Insn& insn) {
    return exec_simd_to_reg(cpu, insn, [](Xmm& dst, const Xmm& src) {
        dst.set_lane(0, src.lane<u64>(0));
        dst.set_lane(1, src.lane<u64>(0));
    });
}

bool exec_pinsrw(Cpu& cpu, const Insn& insn) {
    return exec_simd_to_reg(cpu, insn, [&](Xmm& dst, const Xmm& src) {
        dst.set_lane(word_index(insn, opcode_row(insn.row).simd.reg), src.lane<u16>(0));
    });
}

bool exec_pextrw(Cpu& cpu, const Insn& insn) {
    return exec_simd_to_reg(cpu, insn, [&](Xmm& dst, const Xmm& src) {
        const unsigned index = word_index(insn, opcode_row(insn.row).simd.rm);
        dst.set_lane<u32>(0, src.lane<u16>(index));
    });
}

bool exec_pmovmskb(Cpu& cpu, const Insn& insn) {
    return exec_sign_bits<u8>(cpu, insn);
}
bool exec_movmskps(Cpu& cpu, const Insn& insn) {
    return exec_sign_bits<u32>(cpu, insn);
}
bool exec_movmskpd(Cpu& cpu, const Insn& insn) {
    return exec_sign_bits<u64>(cpu, insn);
}

bool exec_pslldq(Cpu& cpu, const Insn& insn) {
    return exec_shift_bytes(cpu, insn, true);
}
bool exec_psrldq(Cpu& cpu, const Insn& insn) {
    return exec_shift_bytes(cpu, insn, false);
}

}  // namespace ennead::vmcore
