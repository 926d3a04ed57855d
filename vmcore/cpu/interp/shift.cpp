// SPDX-License-Identifier: MIT
// Shifts and rotates (SDM vol 2B, RCL/RCR/ROL/ROR, SAL/SAR/SHL/SHR, SHLD, SHRD).
#include "vmcore/cpu/interp/flags.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/operands.h"

namespace ennead::vmcore {
namespace {

using eflags::kArith;
using flags::kBits;

// Counts are masked to five bits first and are never 0 here. Rotates and double shifts of fewer
// than 32 bits then take them modulo what they rotate; the flags still change.
struct Rol {
    template <class T>
    static T apply(T a, unsigned count, u32& f) {
        const unsigned n = count % kBits<T>;
        const T r = n == 0 ? a : static_cast<T>(a << n | a >> (kBits<T> - n));
        flags::merge(f, flags::kRotate, flags::rotate_left(r, r & 1));
        return r;
    }
};
struct Ror {
    template <class T>
    static T apply(T a, unsigned count, u32& f) {
        const unsigned n = count % kBits<T>;
        const T r = n == 0 ? a : static_cast<T>(a >> n | a << (kBits<T> - n));
        flags::merge(f, flags::kRotate, flags::rotate_right(r, flags::top_bit(r)));
        return r;
    }
};
// Through the carry: a rotation of one bit more than the operand has.
struct Rcl {
    template <class T>
    static T apply(T a, unsigned count, u32& f) {
        const unsigned n = count % (kBits<T> + 1);
        u64 wide = u64{f & eflags::kCf} << kBits<T> | a;
        if (n != 0) {
            wide = wide << n | wide >> (kBits<T> + 1 - n);
        }
        const T r = static_cast<T>(wide);
        flags::merge(f, flags::kRotate,
                     flags::rotate_left(r, static_cast<u32>(wide >> kBits<T>) & 1));
        return r;
    }
};
struct Rcr {
    template <class T>
    static T apply(T a, unsigned count, u32& f) {
        const unsigned n = count % (kBits<T> + 1);
        u64 wide = u64{f & eflags::kCf} << kBits<T> | a;
        if (n != 0) {
            wide = wide >> n | wide << (kBits<T> + 1 - n);
        }
        const T r = static_cast<T>(wide);
        flags::merge(f, flags::kRotate,
                     flags::rotate_right(r, static_cast<u32>(wide >> kBits<T>) & 1));
        return r;
    }
};
struct Shl {
    template <class T>
    static T apply(T a, unsigned count, u32& f) {
        const u64 wide = u64{a} << count;
        const T r = static_cast<T>(wide);
        flags::merge(f, kArith, flags::shift_left(r, static_cast<u32>(wide >> kBits<T>) & 1));
        return r;
    }
};
struct Shr {
    template <class T>
    static T apply(T a, unsigned count, u32& f) {
        const T r = static_cast<T>(u32{a} >> count);
        flags::merge(f, kArith, flags::shift_right(r, (u32{a} >> (count - 1)) & 1));
        return r;
    }
};
struct Sar {
    template <class T>
    static T apply(T a, unsigned count, u32& f) {
        const i32 wide = static_cast<std::make_signed_t<T>>(a);
        const T r = static_cast<T>(wide >> count);
        flags::merge(f, kArith,
                     flags::shift_arithmetic(r, static_cast<u32>(wide >> (count - 1)) & 1));
        return r;
    }
};

// D0/D1 shift by 1, D2/D3 by CL, C0/C1 by the immediate byte.
enum class Count : u8 { one, cl, imm };

Count count_of(const Insn& insn) {
    return insn.src == kEcx ? Count::cl : insn.opcode >= 0xd0 ? Count::one : Count::imm;
}

template <class O, class T, Count from, bool memory>
bool shift(Cpu& cpu, const Insn& insn) {
    const unsigned count =
        from == Count::one ? 1u : (from == Count::cl ? cpu.state.gpr[kEcx] : insn.imm) & 31;
    u32 f = cpu.state.eflags;
    if constexpr (memory) {
        const u32 offset = cpu.effective_offset(insn);
        T value;
        if (!cpu.load_for_store(insn.segment, offset, value)) {
            return false;
        }
        // Written even if it stays the same, as SHLD does: a read-modify-write.
        const T result = count == 0 ? value : O::template apply<T>(value, count, f);
        if (!cpu.store(insn.segment, offset, result)) {
            return false;
        }
    } else {
        if (count == 0) {
            return true;
        }
        set_reg<T>(cpu, insn.rm(), O::template apply<T>(get_reg<T>(cpu, insn.rm()), count, f));
    }
    cpu.state.eflags = f;
    return true;
}

template <class O, Count from, bool memory>
constexpr std::array<Handler, 3> kWidths = {shift<O, u8, from, memory>, shift<O, u16, from, memory>,
                                            shift<O, u32, from, memory>};
template <class O>
constexpr std::array<std::array<std::array<Handler, 3>, 3>, 2> kShift = {
    {{kWidths<O, Count::one, false>, kWidths<O, Count::cl, false>, kWidths<O, Count::imm, false>},
     {kWidths<O, Count::one, true>, kWidths<O, Count::cl, true>, kWidths<O, Count::imm, true>}}};

template <class O>
Handler pick_shift(const Insn& insn) {
    return kShift<O>[insn.has_memory ? 1 : 0][static_cast<unsigned>(count_of(insn))]
                    [width_index(insn.width)];
}

// A 16-bit double shift by more than 16 is undefined. It goes on as on the P6 family: with
// destination, source, destination in a row.
struct Shld {
    template <class T>
    static T apply(T dst, T src, unsigned count, u32& f) {
        constexpr unsigned kSize = kBits<T>;
        const u64 row = kSize == 16 ? u64{dst} << 32 | u64{src} << 16 | dst : u64{dst} << 32 | src;
        constexpr unsigned kTop = kSize == 16 ? 48 : 64;
        const T r = static_cast<T>(row >> (kTop - kSize - count));
        flags::merge(f, kArith, flags::shift_left(r, static_cast<u32>(row >> (kTop - count)) & 1));
        return r;
    }
};
struct Shrd {
    template <class T>
    static T apply(T dst, T src, unsigned count, u32& f) {
        constexpr unsigned kSize = kBits<T>;
        const u64 row = kSize == 16 ? u64{dst} << 32 | u64{src} << 16 | dst : u64{src} << 32 | dst;
        const T r = static_cast<T>(row >> count);
        flags::merge(f, kArith, flags::shift_right(r, static_cast<u32>(row >> (count - 1)) & 1));
        return r;
    }
};

template <class O>
bool double_shift(Cpu& cpu, const Insn& insn) {
    // Opcode bit 0: CL, else the immediate.
    const unsigned count = ((insn.opcode & 1) != 0 ? cpu.state.gpr[kEcx] : insn.imm) & 31;
    const auto shift_as = [&]<class T>() {
        u32 f = cpu.state.eflags;
        if (!modify_rm<T>(cpu, insn, [&](T dst) {
                return count == 0 ? dst
                                  : O::template apply<T>(dst, get_reg<T>(cpu, insn.src), count, f);
            })) {
            return false;
        }
        cpu.state.eflags = f;
        return true;
    };
    return insn.operand_size == 2 ? shift_as.template operator()<u16>()
                                  : shift_as.template operator()<u32>();
}

}  // namespace

Handler select_shift(const Insn& insn) {
    switch (insn.op) {
        case Op::rol:
            return pick_shift<Rol>(insn);
        case Op::ror:
            return pick_shift<Ror>(insn);
        case Op::rcl:
            return pick_shift<Rcl>(insn);
        case Op::rcr:
            return pick_shift<Rcr>(insn);
        case Op::shl:
            return pick_shift<Shl>(insn);
        case Op::shr:
            return pick_shift<Shr>(insn);
        case Op::sar:
            return pick_shift<Sar>(insn);
        default:
            return nullptr;
    }
}

bool exec_rol(Cpu& cpu, const Insn& insn) {
    return pick_shift<Rol>(insn)(cpu, insn);
}
bool exec_ror(Cpu& cpu, const Insn& insn) {
    return pick_shift<Ror>(insn)(cpu, insn);
}
bool exec_rcl(Cpu& cpu, const Insn& insn) {
    return pick_shift<Rcl>(insn)(cpu, insn);
}
bool exec_rcr(Cpu& cpu, const Insn& insn) {
    return pick_shift<Rcr>(insn)(cpu, insn);
}
bool exec_shl(Cpu& cpu, const Insn& insn) {
    return pick_shift<Shl>(insn)(cpu, insn);
}
bool exec_shr(Cpu& cpu, const Insn& insn) {
    return pick_shift<Shr>(insn)(cpu, insn);
}
bool exec_sar(Cpu& cpu, const Insn& insn) {
    return pick_shift<Sar>(insn)(cpu, insn);
}
bool exec_shld(Cpu& cpu, const Insn& insn) {
    return double_shift<Shld>(cpu, insn);
}
bool exec_shrd(Cpu& cpu, const Insn& insn) {
    return double_shift<Shrd>(cpu, insn);
}

}  // namespace ennead::vmcore
