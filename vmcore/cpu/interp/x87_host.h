// SPDX-License-Identifier: MIT
// One x87 operation at a time on the host's own x87, under the guest's control word: true 80-bit
// results.
#pragma once

#include "vmcore/cpu/state.h"
#include "vmcore/types.h"

namespace ennead::vmcore::x87 {

// What the host left: the register, and its status word (exceptions and C0…C3). The guest's
// exception masks were in force, so an operation that an unmasked exception kept from happening
// gives its operand back.
struct HostResult {
    X87Register value;
    u16 status = 0;
};
// For operations that push: the new ST(0) and what is below it.
struct HostPair {
    X87Register top, below;
    u16 status = 0;
};
// For stores: the bytes, which are meaningless if an unmasked exception prevented the store.
struct HostStore {
    X87Register bytes;  // as many as the format has; packed BCD has all ten
    u16 status = 0;
};

// Numbered as the reg field of D8, DA, DC and DE. Comparisons leave their result in C0, C2 and C3
// only.
enum class Arith : u8 { add, mul, com, comp, sub, subr, div, divr };
// The memory operands of DA, D8, DE and DC.
enum class Operand : u8 { real32, real64, int16, int32 };
enum class Unary : u8 { sqrt, rndint, f2xm1, sin, cos, tst };
// These read ST(0) and ST(1) and leave their result in ST(0).
enum class Binary : u8 { scale, prem, prem1 };
// These too, but the result replaces ST(1) and ST(0) is popped.
enum class BinaryPop : u8 { yl2x, yl2xp1, patan };
enum class Push : u8 { tan, sincos, xtract };
// Numbered as D9 E8+i.
enum class Constant : u8 { one, l2t, l2e, pi, lg2, ln2, zero };
enum class StoreFormat : u8 { real32, real64, int16, int32, int64, bcd };
enum class LoadFormat : u8 { real32, real64, int16, int32, int64, bcd };

[[nodiscard]] HostResult arith(Arith op, u16 control, const X87Register& st0,
                               const X87Register& other);
[[nodiscard]] HostResult arith_memory(Arith op, Operand kind, u16 control, const X87Register& st0,
                                      u32 low, u32 high);
// FUCOM: QNaNs raise nothing.
[[nodiscard]] u16 compare_unordered(u16 control, const X87Register& st0, const X87Register& other);
[[nodiscard]] HostResult unary(Unary op, u16 control, const X87Register& st0);
[[nodiscard]] HostResult binary(Binary op, u16 control, const X87Register& st0,
                                const X87Register& st1);
[[nodiscard]] HostResult binary_pop(BinaryPop op, u16 control, const X87Register& st0,
                                    const X87Register& st1);
[[nodiscard]] HostPair push(Push op, u16 control, const X87Register& st0);
[[nodiscard]] X87Register constant(Constant which, u16 control);
// `bytes` in the low bytes of the register, as in memory.
[[nodiscard]] HostResult load(LoadFormat format, u16 control, const X87Register& bytes);
[[nodiscard]] HostStore store(StoreFormat format, u16 control, const X87Register& st0);

}  // namespace ennead::vmcore::x87
