// SPDX-License-Identifier: MIT
// The inline assembly behind x87_host.h.
//
// An unmasked exception is only reported by the next waiting x87 instruction, so each sequence
// reads the status word with FNSTSW and clears it with FNCLEX, which do not wait, before anything
// else can notice: the host never traps, and shows even the unmasked responses (SDM vol 1 §8.5) of
// its own hardware.
#include "vmcore/cpu/interp/x87_host.h"

namespace ennead::vmcore::x87 {
namespace {

constexpr u16 kAllMasked = 0x3f;

// The compiler keeps the x87 stack empty around these and expects it empty again.
#define ENNEAD_X87_BEGIN "fnstcw %[saved]\n\tfnclex\n\tfldcw %[control]\n\t"
#define ENNEAD_X87_STATUS "fnstsw %[status]\n\tfnclex\n\t"
#define ENNEAD_X87_END "fldcw %[saved]"
#define ENNEAD_X87_CLOBBERS "st", "st(1)", "st(2)", "st(3)", "cc"

// ST(0) = a, ST(1) = b; `insn` must leave both in place. The result is ST(0).
#define ENNEAD_X87_REGISTER(name, insn)                                                          \
    HostResult name(u16 control, const X87Register& a, const X87Register& b) {                   \
        HostResult r;                                                                            \
        u16 saved;                                                                               \
        asm volatile(ENNEAD_X87_BEGIN "fldt %[b]\n\tfldt %[a]\n\t" insn "\n\t" ENNEAD_X87_STATUS \
                                      "fstpt %[r]\n\tfstp %%st(0)\n\t" ENNEAD_X87_END            \
                     : [r] "=m"(r.value), [status] "=m"(r.status), [saved] "=m"(saved)           \
                     : [a] "m"(a), [b] "m"(b), [control] "m"(control)                            \
                     : ENNEAD_X87_CLOBBERS);                                                     \
        return r;                                                                                \
    }

// ST(0) = a and a memory operand.
#define ENNEAD_X87_MEMORY(name, insn, type)                                              \
    HostResult name(u16 control, const X87Register& a, type m) {                         \
        HostResult r;                                                                    \
        u16 saved;                                                                       \
        asm volatile(ENNEAD_X87_BEGIN "fldt %[a]\n\t" insn " %[m]\n\t" ENNEAD_X87_STATUS \
                                      "fstpt %[r]\n\t" ENNEAD_X87_END                    \
                     : [r] "=m"(r.value), [status] "=m"(r.status), [saved] "=m"(saved)   \
                     : [a] "m"(a), [m] "m"(m), [control] "m"(control)                    \
                     : ENNEAD_X87_CLOBBERS);                                             \
        return r;                                                                        \
    }

// One operation on a register and on each memory format; integer mnemonics have their own stem.
#define ENNEAD_X87_ARITH(name, stem)                                \
    ENNEAD_X87_REGISTER(name##_register, "f" stem " %%st(1), %%st") \
    ENNEAD_X87_MEMORY(name##_real32, "f" stem "s", u32)             \
    ENNEAD_X87_MEMORY(name##_real64, "f" stem "l", u64)             \
    ENNEAD_X87_MEMORY(name##_int16, "fi" stem "s", u16)             \
    ENNEAD_X87_MEMORY(name##_int32, "fi" stem "l", u32)

ENNEAD_X87_ARITH(add, "add")
ENNEAD_X87_ARITH(mul, "mul")
ENNEAD_X87_ARITH(sub, "sub")
ENNEAD_X87_ARITH(subr, "subr")
ENNEAD_X87_ARITH(div, "div")
ENNEAD_X87_ARITH(divr, "divr")

ENNEAD_X87_REGISTER(com_register, "fcom %%st(1)")
ENNEAD_X87_MEMORY(com_real32, "fcoms", u32)
ENNEAD_X87_MEMORY(com_real64, "fcoml", u64)
ENNEAD_X87_MEMORY(com_int16, "ficoms", u16)
ENNEAD_X87_MEMORY(com_int32, "ficoml", u32)
ENNEAD_X87_REGISTER(ucom_register, "fucom %%st(1)")

ENNEAD_X87_REGISTER(scale_register, "fscale")
ENNEAD_X87_REGISTER(prem_register, "fprem")
ENNEAD_X87_REGISTER(prem1_register, "fprem1")

struct ArithRow {
    HostResult (*on_register)(u16, const X87Register&, const X87Register&);
    HostResult (*on_real32)(u16, const X87Register&, u32);
    HostResult (*on_real64)(u16, const X87Register&, u64);
    HostResult (*on_int16)(u16, const X87Register&, u16);
    HostResult (*on_int32)(u16, const X87Register&, u32);
};

// clang-format off
constexpr ArithRow kArith[8] = {
    {add_register,  add_real32,  add_real64,  add_int16,  add_int32},
    {mul_register,  mul_real32,  mul_real64,  mul_int16,  mul_int32},
    {com_register,  com_real32,  com_real64,  com_int16,  com_int32},
    {com_register,  com_real32,  com_real64,  com_int16,  com_int32},
    {sub_register,  sub_real32,  sub_real64,  sub_int16,  sub_int32},
    {subr_register, subr_real32, subr_real64, subr_int16, subr_int32},
    {div_register,  div_real32,  div_real64,  div_int16,  div_int32},
    {divr_register, divr_real32, divr_real64, divr_int16, divr_int32},
};
// clang-format on

#define ENNEAD_X87_UNARY(name, insn)                                                   \
    HostResult name(u16 control, const X87Register& a) {                               \
        HostResult r;                                                                  \
        u16 saved;                                                                     \
        asm volatile(ENNEAD_X87_BEGIN "fldt %[a]\n\t" insn "\n\t" ENNEAD_X87_STATUS    \
                                      "fstpt %[r]\n\t" ENNEAD_X87_END                  \
                     : [r] "=m"(r.value), [status] "=m"(r.status), [saved] "=m"(saved) \
                     : [a] "m"(a), [control] "m"(control)                              \
                     : ENNEAD_X87_CLOBBERS);                                           \
        return r;                                                                      \
    }

ENNEAD_X87_UNARY(sqrt_st0, "fsqrt")
ENNEAD_X87_UNARY(rndint_st0, "frndint")
ENNEAD_X87_UNARY(f2xm1_st0, "f2xm1")
ENNEAD_X87_UNARY(sin_st0, "fsin")
ENNEAD_X87_UNARY(cos_st0, "fcos")
ENNEAD_X87_UNARY(tst_st0, "ftst")

// Whether these pop depends on the exceptions: FNINIT empties the stack whatever is left of it.
#define ENNEAD_X87_BINARY_POP(name, insn)                                                        \
    HostResult name(u16 control, const X87Register& a, const X87Register& b) {                   \
        HostResult r;                                                                            \
        u16 saved;                                                                               \
        asm volatile(ENNEAD_X87_BEGIN "fldt %[b]\n\tfldt %[a]\n\t" insn "\n\t" ENNEAD_X87_STATUS \
                                      "fstpt %[r]\n\tfninit\n\t" ENNEAD_X87_END                  \
                     : [r] "=m"(r.value), [status] "=m"(r.status), [saved] "=m"(saved)           \
                     : [a] "m"(a), [b] "m"(b), [control] "m"(control)                            \
                     : ENNEAD_X87_CLOBBERS);                                                     \
        return r;                                                                                \
    }

ENNEAD_X87_BINARY_POP(yl2x_st1, "fyl2x")
ENNEAD_X87_BINARY_POP(yl2xp1_st1, "fyl2xp1")
ENNEAD_X87_BINARY_POP(patan_st1, "fpatan")

// And whether these push. A value below is stored from an empty register if they did not; nobody
// looks at it.
#define ENNEAD_X87_PUSH(name, insn)                                                                \
    HostPair name(u16 control, const X87Register& a) {                                             \
        HostPair r;                                                                                \
        u16 saved;                                                                                 \
        asm volatile(                                                                              \
            ENNEAD_X87_BEGIN "fldt %[a]\n\t" insn "\n\t" ENNEAD_X87_STATUS                         \
                             "fstpt %[top]\n\tfstpt %[below]\n\tfninit\n\t" ENNEAD_X87_END         \
            :                                                                                      \
            [top] "=m"(r.top), [below] "+m"(r.below), [status] "=m"(r.status), [saved] "=m"(saved) \
            : [a] "m"(a), [control] "m"(control)                                                   \
            : ENNEAD_X87_CLOBBERS);                                                                \
        return r;                                                                                  \
    }

ENNEAD_X87_PUSH(tan_st0, "fptan")
ENNEAD_X87_PUSH(sincos_st0, "fsincos")
ENNEAD_X87_PUSH(xtract_st0, "fxtract")

#define ENNEAD_X87_CONSTANT(name, insn)                                        \
    X87Register name(u16 control) {                                            \
        X87Register r;                                                         \
        u16 saved;                                                             \
        asm volatile(ENNEAD_X87_BEGIN insn "\n\tfstpt %[r]\n\t" ENNEAD_X87_END \
                     : [r] "=m"(r), [saved] "=m"(saved)                        \
                     : [control] "m"(control)                                  \
                     : ENNEAD_X87_CLOBBERS);                                   \
        return r;                                                              \
    }

ENNEAD_X87_CONSTANT(constant_one, "fld1")
ENNEAD_X87_CONSTANT(constant_l2t, "fldl2t")
ENNEAD_X87_CONSTANT(constant_l2e, "fldl2e")
ENNEAD_X87_CONSTANT(constant_pi, "fldpi")
ENNEAD_X87_CONSTANT(constant_lg2, "fldlg2")
ENNEAD_X87_CONSTANT(constant_ln2, "fldln2")
ENNEAD_X87_CONSTANT(constant_zero, "fldz")

// Loads and integer stores run with everything masked: they have no response that differs but for
// not happening, which the status word tells.
#define ENNEAD_X87_LOAD(name, insn)                                                    \
    HostResult name(u16 control, const X87Register& m) {                               \
        HostResult r;                                                                  \
        u16 saved;                                                                     \
        asm volatile(ENNEAD_X87_BEGIN insn " %[m]\n\t" ENNEAD_X87_STATUS               \
                                           "fstpt %[r]\n\t" ENNEAD_X87_END             \
                     : [r] "=m"(r.value), [status] "=m"(r.status), [saved] "=m"(saved) \
                     : [m] "m"(m), [control] "m"(control)                              \
                     : ENNEAD_X87_CLOBBERS);                                           \
        return r;                                                                      \
    }

ENNEAD_X87_LOAD(load_real32, "flds")
ENNEAD_X87_LOAD(load_real64, "fldl")
ENNEAD_X87_LOAD(load_int16, "filds")
ENNEAD_X87_LOAD(load_int32, "fildl")
ENNEAD_X87_LOAD(load_int64, "fildll")
ENNEAD_X87_LOAD(load_bcd, "fbld")

#define ENNEAD_X87_STORE(name, insn, pop)                                              \
    HostStore name(u16 control, const X87Register& a) {                                \
        HostStore r;                                                                   \
        u16 saved;                                                                     \
        asm volatile(ENNEAD_X87_BEGIN "fldt %[a]\n\t" insn                             \
                                      " %[m]\n\t" ENNEAD_X87_STATUS pop ENNEAD_X87_END \
                     : [m] "+m"(r.bytes), [status] "=m"(r.status), [saved] "=m"(saved) \
                     : [a] "m"(a), [control] "m"(control)                              \
                     : ENNEAD_X87_CLOBBERS);                                           \
        return r;                                                                      \
    }

ENNEAD_X87_STORE(store_real32, "fsts", "fstp %%st(0)\n\t")
ENNEAD_X87_STORE(store_real64, "fstl", "fstp %%st(0)\n\t")
ENNEAD_X87_STORE(store_int16, "fists", "fstp %%st(0)\n\t")
ENNEAD_X87_STORE(store_int32, "fistl", "fstp %%st(0)\n\t")
ENNEAD_X87_STORE(store_int64, "fistpll", "")
ENNEAD_X87_STORE(store_bcd, "fbstp", "")

}  // namespace

HostResult arith(Arith op, u16 control, const X87Register& st0, const X87Register& other) {
    return kArith[static_cast<unsigned>(op)].on_register(control, st0, other);
}

HostResult arith_memory(Arith op, Operand kind, u16 control, const X87Register& st0, u32 low,
                        u32 high) {
    const ArithRow& row = kArith[static_cast<unsigned>(op)];
    switch (kind) {
        case Operand::real32:
            return row.on_real32(control, st0, low);
        case Operand::real64:
            return row.on_real64(control, st0, (u64{high} << 32) | low);
        case Operand::int16:
            return row.on_int16(control, st0, static_cast<u16>(low));
        case Operand::int32:
            break;
    }
    return row.on_int32(control, st0, low);
}

u16 compare_unordered(u16 control, const X87Register& st0, const X87Register& other) {
    return ucom_register(control, st0, other).status;
}

HostResult unary(Unary op, u16 control, const X87Register& st0) {
    static constexpr decltype(&sqrt_st0) kTable[] = {sqrt_st0, rndint_st0, f2xm1_st0,
                                                     sin_st0,  cos_st0,    tst_st0};
    return kTable[static_cast<unsigned>(op)](control, st0);
}

HostResult binary(Binary op, u16 control, const X87Register& st0, const X87Register& st1) {
    static constexpr decltype(&scale_register) kTable[] = {scale_register, prem_register,
                                                           prem1_register};
    return kTable[static_cast<unsigned>(op)](control, st0, st1);
}

HostResult binary_pop(BinaryPop op, u16 control, const X87Register& st0, const X87Register& st1) {
    static constexpr decltype(&yl2x_st1) kTable[] = {yl2x_st1, yl2xp1_st1, patan_st1};
    return kTable[static_cast<unsigned>(op)](control, st0, st1);
}

HostPair push(Push op, u16 control, const X87Register& st0) {
    static constexpr decltype(&tan_st0) kTable[] = {tan_st0, sincos_st0, xtract_st0};
    return kTable[static_cast<unsigned>(op)](control, st0);
}

X87Register constant(Constant which, u16 control) {
    static constexpr decltype(&constant_one) kTable[] = {constant_one, constant_l2t, constant_l2e,
                                                         constant_pi,  constant_lg2, constant_ln2,
                                                         constant_zero};
    return kTable[static_cast<unsigned>(which)](control);
}

HostResult load(LoadFormat format, u16 control, const X87Register& bytes) {
    static constexpr decltype(&load_bcd) kTable[] = {load_real32, load_real64, load_int16,
                                                     load_int32,  load_int64,  load_bcd};
    return kTable[static_cast<unsigned>(format)](control | kAllMasked, bytes);
}

HostStore store(StoreFormat format, u16 control, const X87Register& st0) {
    switch (format) {
        case StoreFormat::real32:
            return store_real32(control, st0);
        case StoreFormat::real64:
            return store_real64(control, st0);
        case StoreFormat::int16:
            return store_int16(control | kAllMasked, st0);
        case StoreFormat::int32:
            return store_int32(control | kAllMasked, st0);
        case StoreFormat::int64:
            return store_int64(control | kAllMasked, st0);
        case StoreFormat::bcd:
            break;
    }
    return store_bcd(control | kAllMasked, st0);
}

}  // namespace ennead::vmcore::x87
