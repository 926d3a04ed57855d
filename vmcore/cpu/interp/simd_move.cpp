// SPDX-License-Identifier: MIT
// Moves between MMX, XMM and general registers and memory, masked stores among them. Non-temporal
// ones are plain moves: a guest sees no caches.
#include <algorithm>

#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/simd_operands.h"
#include "vmcore/cpu/interp/x87_ops.h"

namespace ennead::vmcore {
namespace {

Xmm low_bytes(const Xmm& from, unsigned count) {
    Xmm value;
    std::copy_n(from.bytes.begin(), count, value.bytes.begin());
    return value;
}

// The whole operand, zero-extended to the destination; MOVD and MOVQ take 4 and 8 bytes of a
// register too.
bool exec_copy(Cpu& cpu, const Insn& insn) {
    SimdOperands o;
    if (!load_simd(cpu, insn, o)) {
        return false;
    }
    const unsigned bytes = o.form->memory_bytes != 0 ? o.form->memory_bytes : 16;
    if (o.form->to_rm) {
        return store_simd_rm(cpu, insn, *o.form, low_bytes(o.reg, bytes));
    }
    store_simd_reg(cpu, insn, *o.form, low_bytes(o.rm, bytes));
    return true;
}

// MOVSS and MOVSD: between registers the rest of the destination stays, a load clears it.
template <class T>
bool exec_move_scalar(Cpu& cpu, const Insn& insn) {
    SimdOperands o;
    if (!load_simd(cpu, insn, o)) {
        return false;
    }
    if (insn.has_memory) {
        if (o.form->to_rm) {
            return store_simd_rm(cpu, insn, *o.form, o.reg);
        }
        store_simd_reg(cpu, insn, *o.form, o.rm);
        return true;
    }
    Xmm& to = o.form->to_rm ? o.rm : o.reg;
    const Xmm& from = o.form->to_rm ? o.reg : o.rm;
    to.set_lane(0, from.lane<T>(0));
    if (o.form->to_rm) {
        return store_simd_rm(cpu, insn, *o.form, to);
    }
    store_simd_reg(cpu, insn, *o.form, to);
    return true;
}

// MOVLPS, MOVHPS and kin: one half of a register and eight bytes of memory.
bool exec_move_half(Cpu& cpu, const Insn& insn, unsigned half) {
    SimdOperands o;
    if (!load_simd(cpu, insn, o)) {
        return false;
    }
    if (o.form->to_rm) {
        Xmm value;
        value.set_lane(0, o.reg.lane<u64>(half));
        return store_simd_rm(cpu, insn, *o.form, value);
    }
    o.reg.set_lane(half, o.rm.lane<u64>(0));
    store_simd_reg(cpu, insn, *o.form, o.reg);
    return true;
}

// MASKMOVQ and MASKMOVDQU: bytes of reg to [EDI] where the sign of r/m's byte says so. SDM vol 2B
// leaves open which faults bytes not written cause; here only those from the first to the last
// written one are looked at.
bool exec_masked_store(Cpu& cpu, const Insn& insn, u32 size) {
    SimdOperands o;
    if (!load_simd(cpu, insn, o)) {
        return false;
    }
    const auto wanted = [&](u32 n) { return (o.rm.bytes[n] & 0x80) != 0; };
    const u32 mask = insn.address_size == 2 ? 0xffff : 0xffffffff;
    const u32 start = cpu.state.gpr[kEdi];
    u32 first = 0, end = size;
    while (first < size && !wanted(first)) {
        ++first;
    }
    while (end > first && !wanted(end - 1)) {
        --end;
    }
    if (!cpu.probe_store(insn.segment, (start + first) & mask, end - first)) {
        return false;
    }
    for (u32 n = first; n < end; ++n) {
        if (wanted(n) && !cpu.store(insn.segment, (start + n) & mask, o.reg.bytes[n])) {
            return false;
        }
    }
    if (o.form->uses_mmx(false)) {
        x87::enter_mmx(cpu.state.x87);
    }
    return true;
}

}  // namespace

#define ENNEAD_COPY(name)                          \
    bool exec_##name(Cpu& cpu, const Insn& insn) { \
        return exec_copy(cpu, insn);               \
    }
// clang-format off
ENNEAD_COPY(movups) ENNEAD_COPY(movupd) ENNEAD_COPY(movaps) ENNEAD_COPY(movapd)
ENNEAD_COPY(movdqa) ENNEAD_COPY(movdqu) ENNEAD_COPY(lddqu)
ENNEAD_COPY(movd) ENNEAD_COPY(movq) ENNEAD_COPY(movq2dq) ENNEAD_COPY(movdq2q)
ENNEAD_COPY(movnti) ENNEAD_COPY(movntq) ENNEAD_COPY(movntps) ENNEAD_COPY(movntpd) ENNEAD_COPY(movntdq)
// clang-format on
#undef ENNEAD_COPY

                bool exec_movss(Cpu& cpu, const Insn& insn) {
    return exec_move_scalar<u32>(cpu, insn);
}
bool exec_movsd(Cpu& cpu, const Insn& insn) {
    return exec_move_scalar<u64>(cpu, insn);
}

bool exec_movlps(Cpu& cpu, const Insn& insn) {
    return exec_move_half(cpu, insn, 0);
}
bool exec_movlpd(Cpu& cpu, const Insn& insn) {
    return exec_move_half(cpu, insn, 0);
}
bool exec_movhps(Cpu& cpu, const Insn& insn) {
    return exec_move_half(cpu, insn, 1);
}
bool exec_movhpd(Cpu& cpu, const Insn& insn) {
    return exec_move_half(cpu, insn, 1);
}

bool exec_movhlps(Cpu& cpu, const Insn& insn) {
    return exec_simd_to_reg(cpu, insn,
                            [](Xmm& dst, const Xmm& src) { dst.set_lane(0, src.lane<u64>(1)); });
}
bool exec_movlhps(Cpu& cpu, const Insn& insn) {
    return exec_simd_to_reg(cpu, insn,
                            [](Xmm& dst, const Xmm& src) { dst.set_lane(1, src.lane<u64>(0)); });
}

bool exec_maskmovq(Cpu& cpu, const Insn& insn) {
    return exec_masked_store(cpu, insn, 8);
}
bool exec_maskmovdqu(Cpu& cpu, const Insn& insn) {
    return exec_masked_store(cpu, insn, 16);
}

}  // namespace ennead::vmcore
