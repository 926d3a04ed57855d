// SPDX-License-Identifier: MIT
// ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT (SDM vol 1 §7.3.2 and §7.3.5).
#include "vmcore/cpu/interp/flags.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/operands.h"

namespace ennead::vmcore {
namespace {

using eflags::kArith;

// An operation gives the result and replaces the arithmetic flags in `f`.
struct Add {
    static constexpr bool kWrites = true;
    template <class T>
    static T apply(T a, T b, u32& f) {
        const T r = static_cast<T>(a + b);
        flags::merge(f, kArith, flags::add(a, b, r));
        return r;
    }
};
struct Adc {
    static constexpr bool kWrites = true;
    template <class T>
    static T apply(T a, T b, u32& f) {
        const T r = static_cast<T>(a + b + (f & eflags::kCf));
        flags::merge(f, kArith, flags::add(a, b, r));
        return r;
    }
};
struct Sub {
    static constexpr bool kWrites = true;
    template <class T>
    static T apply(T a, T b, u32& f) {
        const T r = static_cast<T>(a - b);
        flags::merge(f, kArith, flags::sub(a, b, r));
        return r;
    }
};
struct Sbb {
    static constexpr bool kWrites = true;
    template <class T>
    static T apply(T a, T b, u32& f) {
        const T r = static_cast<T>(a - b - (f & eflags::kCf));
        flags::merge(f, kArith, flags::sub(a, b, r));
        return r;
    }
};
struct Cmp : Sub {
    static constexpr bool kWrites = false;
};
struct And {
    static constexpr bool kWrites = true;
    template <class T>
    static T apply(T a, T b, u32& f) {
        const T r = a & b;
        flags::merge(f, kArith, flags::logic(r));
        return r;
    }
};
struct Or {
    static constexpr bool kWrites = true;
    template <class T>
    static T apply(T a, T b, u32& f) {
        const T r = a | b;
        flags::merge(f, kArith, flags::logic(r));
        return r;
    }
};
struct Xor {
    static constexpr bool kWrites = true;
    template <class T>
    static T apply(T a, T b, u32& f) {
        const T r = a ^ b;
        flags::merge(f, kArith, flags::logic(r));
        return r;
    }
};
struct Test : And {
    static constexpr bool kWrites = false;
};

template <class O, class T, Form form>
bool binary(Cpu& cpu, const Insn& insn) {
    constexpr bool kToMemory = form == Form::mem_reg || form == Form::mem_imm;
    constexpr bool kFromImmediate = form == Form::reg_imm || form == Form::mem_imm;
    [[maybe_unused]] u32 offset = 0;
    T a, b;
    if constexpr (kToMemory) {
        offset = cpu.effective_offset(insn);
        const bool readable = O::kWrites ? cpu.load_for_store(insn.segment, offset, a)
                                         : cpu.load(insn.segment, offset, a);
        if (!readable) {
            return false;
        }
    } else {
        a = get_reg<T>(cpu, insn.dst);
    }
    if constexpr (kFromImmediate) {
        b = static_cast<T>(insn.imm);
    } else if constexpr (form == Form::reg_mem) {
        if (!cpu.load(insn.segment, cpu.effective_offset(insn), b)) {
            return false;
        }
    } else {
        b = get_reg<T>(cpu, insn.src);
    }
    u32 f = cpu.state.eflags;
    const T result = O::apply(a, b, f);
    if constexpr (O::kWrites && kToMemory) {
        if (!cpu.store(insn.segment, offset, result)) {
            return false;
        }
    } else if constexpr (O::kWrites) {
        set_reg<T>(cpu, insn.dst, result);
    }
    cpu.state.eflags = f;
    return true;
}

template <class O, Form form>
constexpr std::array<Handler, 3> kWidths = {binary<O, u8, form>, binary<O, u16, form>,
                                            binary<O, u32, form>};
template <class O>
constexpr FormTable kForms = {kWidths<O, Form::reg_reg>, kWidths<O, Form::reg_mem>,
                              kWidths<O, Form::reg_imm>, kWidths<O, Form::mem_reg>,
                              kWidths<O, Form::mem_imm>};

struct Inc {
    template <class T>
    static T apply(T a, u32& f) {
        const T r = static_cast<T>(a + 1);
        flags::merge(f, kArith & ~eflags::kCf, flags::inc_but_cf(r));
        return r;
    }
};
struct Dec {
    template <class T>
    static T apply(T a, u32& f) {
        const T r = static_cast<T>(a - 1);
        flags::merge(f, kArith & ~eflags::kCf, flags::dec_but_cf(r));
        return r;
    }
};
struct Neg {
    template <class T>
    static T apply(T a, u32& f) {
        const T r = static_cast<T>(0 - a);
        flags::merge(f, kArith, flags::sub(T{0}, a, r));
        return r;
    }
};
struct Not {
    template <class T>
    static T apply(T a, u32&) {
        return static_cast<T>(~a);
    }
};

template <class O, class T, bool memory>
bool unary(Cpu& cpu, const Insn& insn) {
    u32 f = cpu.state.eflags;
    if constexpr (memory) {
        const u32 offset = cpu.effective_offset(insn);
        T a;
        if (!cpu.load_for_store(insn.segment, offset, a) ||
            !cpu.store(insn.segment, offset, O::template apply<T>(a, f))) {
            return false;
        }
    } else {
        set_reg<T>(cpu, insn.dst, O::template apply<T>(get_reg<T>(cpu, insn.dst), f));
    }
    cpu.state.eflags = f;
    return true;
}

template <class O>
constexpr std::array<std::array<Handler, 3>, 2> kUnary = {
    {{unary<O, u8, false>, unary<O, u16, false>, unary<O, u32, false>},
     {unary<O, u8, true>, unary<O, u16, true>, unary<O, u32, true>}}};

template <class O>
Handler pick_unary(const Insn& insn) {
    return kUnary<O>[insn.has_memory ? 1 : 0][width_index(insn.width)];
}

}  // namespace

Handler select_alu(const Insn& insn) {
    switch (insn.op) {
        case Op::add:
            return pick(kForms<Add>, insn);
        case Op::or_:
            return pick(kForms<Or>, insn);
        case Op::adc:
            return pick(kForms<Adc>, insn);
        case Op::sbb:
            return pick(kForms<Sbb>, insn);
        case Op::and_:
            return pick(kForms<And>, insn);
        case Op::sub:
            return pick(kForms<Sub>, insn);
        case Op::xor_:
            return pick(kForms<Xor>, insn);
        case Op::cmp:
            return pick(kForms<Cmp>, insn);
        case Op::test:
            return pick(kForms<Test>, insn);
        case Op::inc:
            return pick_unary<Inc>(insn);
        case Op::dec:
            return pick_unary<Dec>(insn);
        case Op::neg:
            return pick_unary<Neg>(insn);
        case Op::not_:
            return pick_unary<Not>(insn);
        default:
            return nullptr;
    }
}

bool exec_add(Cpu& cpu, const Insn& insn) {
    return pick(kForms<Add>, insn)(cpu, insn);
}
bool exec_or_(Cpu& cpu, const Insn& insn) {
    return pick(kForms<Or>, insn)(cpu, insn);
}
bool exec_adc(Cpu& cpu, const Insn& insn) {
    return pick(kForms<Adc>, insn)(cpu, insn);
}
bool exec_sbb(Cpu& cpu, const Insn& insn) {
    return pick(kForms<Sbb>, insn)(cpu, insn);
}
bool exec_and_(Cpu& cpu, const Insn& insn) {
    return pick(kForms<And>, insn)(cpu, insn);
}
bool exec_sub(Cpu& cpu, const Insn& insn) {
    return pick(kForms<Sub>, insn)(cpu, insn);
}
bool exec_xor_(Cpu& cpu, const Insn& insn) {
    return pick(kForms<Xor>, insn)(cpu, insn);
}
bool exec_cmp(Cpu& cpu, const Insn& insn) {
    return pick(kForms<Cmp>, insn)(cpu, insn);
}
bool exec_test(Cpu& cpu, const Insn& insn) {
    return pick(kForms<Test>, insn)(cpu, insn);
}
bool exec_inc(Cpu& cpu, const Insn& insn) {
    return pick_unary<Inc>(insn)(cpu, insn);
}
bool exec_dec(Cpu& cpu, const Insn& insn) {
    return pick_unary<Dec>(insn)(cpu, insn);
}
bool exec_neg(Cpu& cpu, const Insn& insn) {
    return pick_unary<Neg>(insn)(cpu, insn);
}
bool exec_not_(Cpu& cpu, const Insn& insn) {
    return pick_unary<Not>(insn)(cpu, insn);
}

}  // namespace ennead::vmcore
