// SPDX-License-Identifier: MIT
// MUL IMUL DIV IDIV (SDM vol 2A and 2B).
#include <limits>

#include "vmcore/cpu/interp/flags.h"
#include "vmcore/cpu/interp/handlers.h"
#include "vmcore/cpu/interp/operands.h"

namespace ennead::vmcore {
namespace {

// The double-width accumulator: AX, DX:AX, EDX:EAX.
template <class T>
u64 wide_accumulator(const Cpu& cpu) {
    if constexpr (sizeof(T) == 1) {
        return cpu.r16(kEax);
    } else {
        return u64{get_reg<T>(cpu, kEdx)} << flags::kBits<T> | get_reg<T>(cpu, kEax);
    }
}

template <class T>
void set_halves(Cpu& cpu, T low, T high) {
    if constexpr (sizeof(T) == 1) {
        cpu.set_r16(kEax, static_cast<u16>(low | high << 8));
    } else {
        set_reg<T>(cpu, kEax, low);
        set_reg<T>(cpu, kEdx, high);
    }
}

template <class T>
void set_product(Cpu& cpu, u64 product, bool overflows) {
    set_halves(cpu, static_cast<T>(product), static_cast<T>(product >> flags::kBits<T>));
    flags::merge(cpu.state.eflags, flags::kMultiply, flags::multiply(overflows));
}

template <class T>
i64 as_signed(T value) {
    return static_cast<std::make_signed_t<T>>(value);
}

template <class T>
bool multiply_signed(Cpu& cpu, const Insn& insn, T a, T b) {
    const i64 product = as_signed(a) * as_signed(b);
    const T result = static_cast<T>(product);
    set_reg<T>(cpu, insn.dst, result);
    flags::merge(cpu.state.eflags, flags::kMultiply, flags::multiply(as_signed(result) != product));
    return true;
}

template <class T>
bool divide(Cpu& cpu, T divisor) {
    if (divisor == 0) {
        return cpu.raise(Vector::de);
    }
    const u64 dividend = wide_accumulator<T>(cpu);
    const u64 quotient = dividend / divisor;
    if (quotient > std::numeric_limits<T>::max()) {
        return cpu.raise(Vector::de);
    }
    set_halves(cpu, static_cast<T>(quotient), static_cast<T>(dividend % divisor));
    return true;
}

template <class T>
bool divide_signed(Cpu& cpu, T divisor) {
    using Signed = std::make_signed_t<T>;
    const unsigned unused = 64 - 2 * flags::kBits<T>;
    const i64 dividend = static_cast<i64>(wide_accumulator<T>(cpu) << unused) >> unused;
    const i64 by = as_signed(divisor);
    // The only quotient that does not even fit i64 would trap on the host.
    if (by == 0 || (by == -1 && dividend == std::numeric_limits<i64>::min())) {
        return cpu.raise(Vector::de);
    }
    const i64 quotient = dividend / by;
    if (quotient < std::numeric_limits<Signed>::min() ||
        quotient > std::numeric_limits<Signed>::max()) {
        return cpu.raise(Vector::de);
    }
    set_halves(cpu, static_cast<T>(quotient), static_cast<T>(dividend % by));
    return true;
}

}  // namespace

bool exec_mul(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        T factor;
        if (!load_rm(cpu, insn, factor)) {
            return false;
        }
        const u64 product = u64{get_reg<T>(cpu, kEax)} * factor;
        set_product<T>(cpu, product, product > std::numeric_limits<T>::max());
        return true;
    });
}

bool exec_imul_acc(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        T factor;
        if (!load_rm(cpu, insn, factor)) {
            return false;
        }
        const i64 product = as_signed(get_reg<T>(cpu, kEax)) * as_signed(factor);
        set_product<T>(cpu, static_cast<u64>(product),
                       as_signed(static_cast<T>(product)) != product);
        return true;
    });
}

bool exec_imul_r_rm(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        T factor;
        return load_rm(cpu, insn, factor) &&
               multiply_signed<T>(cpu, insn, get_reg<T>(cpu, insn.dst), factor);
    });
}

bool exec_imul_r_rm_imm(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        T factor;
        return load_rm(cpu, insn, factor) &&
               multiply_signed<T>(cpu, insn, factor, static_cast<T>(insn.imm));
    });
}

// The flags are undefined after a division and stay as they are.
bool exec_div(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        T divisor;
        return load_rm(cpu, insn, divisor) && divide<T>(cpu, divisor);
    });
}

bool exec_idiv(Cpu& cpu, const Insn& insn) {
    return with_width(insn.width, [&]<class T>() {
        T divisor;
        return load_rm(cpu, insn, divisor) && divide_signed<T>(cpu, divisor);
    });
}

}  // namespace ennead::vmcore
